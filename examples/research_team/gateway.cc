// SPDX-License-Identifier: Apache-2.0
// Leads the team. A synchronous service that makes calls of every kind, some of them at once.
#include <future>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <grpcpp/grpcpp.h>

#include <weft/context/bind.h>
#include <weft/interceptors/create_channel.h>
#include <weft/interceptors/intercept_server.h>
#include <weft/tracing/run.h>
#include <weft/tracing/tracer.h>

#include "agent.h"
#include "research_team.grpc.pb.h"

namespace research_team {
namespace {

constexpr std::uint32_t kPassagesPerQuery = 6;
constexpr std::size_t kMaxQuestionBytes = 4096;
constexpr std::uint32_t kMaxRounds = 2;

/// What the team has found out about one question.
struct Research {
  std::string question;
  std::vector<std::string> missing_terms{};
  std::vector<v1::Passage> passages{};
  v1::Summary summary{};
  std::vector<v1::Verdict> verdicts{};
  bool send_back = false;
};

class GatewayService final : public v1::Gateway::Service {
 public:
  explicit GatewayService(std::map<std::string, std::shared_ptr<grpc::Channel>> channels)
      : planner_(v1::Planner::NewStub(channels.at("planner"))),
        retriever_(v1::Retriever::NewStub(channels.at("retriever"))),
        summariser_(v1::Summariser::NewStub(channels.at("summariser"))),
        critic_(v1::Critic::NewStub(channels.at("critic"))) {
    if (channels.contains("fact-checker")) {
      fact_checker_ = v1::FactChecker::NewStub(channels.at("fact-checker"));
    }
  }

  grpc::Status Ask(grpc::ServerContext* context, const v1::Question* question,
                   v1::Answer* answer) override {
    if (question->text().empty() || question->text().size() > kMaxQuestionBytes) {
      return {grpc::StatusCode::INVALID_ARGUMENT, "text must have 1 to 4096 bytes"};
    }
    Research research{.question = question->text()};
    std::uint32_t round = 0;
    do {
      ++round;
      for (auto step :
           {&GatewayService::Search, &GatewayService::Summarise, &GatewayService::Review}) {
        if (auto status = (this->*step)(*context, research); !status.ok()) return status;
      }
    } while (research.send_back && round < kMaxRounds);
    if (fact_checker_ != nullptr) {
      if (auto status = CheckFacts(*context, research); !status.ok()) return status;
    }
    answer->set_text(Compose(research));
    answer->set_rounds(round);
    return grpc::Status::OK;
  }

 private:
  using ClientContext = std::unique_ptr<grpc::ClientContext>;

  /// A call that ends when the one that is handled does.
  static ClientContext CallWithin(const grpc::ServerContext& context) {
    return grpc::ClientContext::FromServerContext(context);
  }

  /// Asks for a plan and runs its queries at once. A thread inherits nothing by itself: Bind.
  grpc::Status Search(const grpc::ServerContext& context, Research& research) {
    v1::PlanRequest request;
    request.set_question(research.question);
    for (const std::string& term : research.missing_terms) request.add_missing_terms(term);
    v1::ResearchPlan plan;
    if (auto status = planner_->Plan(CallWithin(context).get(), request, &plan); !status.ok()) {
      return status;
    }
    using Found = std::pair<grpc::Status, std::vector<v1::Passage>>;
    std::vector<std::future<Found>> searches;
    for (const std::string& query : plan.queries()) {
      searches.push_back(std::async(std::launch::async, weft::Bind([this, &context, query] {
                                      Found found;
                                      found.first = SearchOne(context, query, found.second);
                                      return found;
                                    })));
    }
    grpc::Status status;
    std::vector<std::vector<v1::Passage>> results{std::move(research.passages)};
    for (std::future<Found>& search : searches) {
      Found found = search.get();
      if (!found.first.ok()) status = found.first;
      results.push_back(std::move(found.second));
    }
    research.passages = Merge(std::move(results));
    return status;
  }

  /// Server streaming.
  grpc::Status SearchOne(const grpc::ServerContext& context, const std::string& query,
                         std::vector<v1::Passage>& passages) {
    const ClientContext call = CallWithin(context);
    v1::SearchRequest request;
    request.set_query(query);
    request.set_limit(kPassagesPerQuery);
    const auto stream = retriever_->Search(call.get(), request);
    for (v1::Passage passage; stream->Read(&passage);) passages.push_back(passage);
    return stream->Finish();
  }

  /// Each passage once, in the order of the results.
  static std::vector<v1::Passage> Merge(std::vector<std::vector<v1::Passage>> results) {
    weft::Run run("merge_passages", {.inputs = {{"results", results.size()}}});
    std::set<std::string> seen;
    std::vector<v1::Passage> merged;
    for (std::vector<v1::Passage>& passages : results) {
      for (v1::Passage& passage : passages) {
        if (seen.insert(passage.source() + "\n" + passage.text()).second) {
          merged.push_back(std::move(passage));
        }
      }
    }
    run.SetOutputs({{"passages", merged.size()}});
    return merged;
  }

  /// Client streaming.
  grpc::Status Summarise(const grpc::ServerContext& context, Research& research) {
    const ClientContext call = CallWithin(context);
    research.summary.Clear();
    const auto stream = summariser_->Summarise(call.get(), &research.summary);
    v1::SummariseRequest request;
    request.set_question(research.question);
    bool open = stream->Write(request);
    for (const v1::Passage& passage : research.passages) {
      if (!open) break;
      *request.mutable_passage() = passage;
      open = stream->Write(request);
    }
    stream->WritesDone();
    return stream->Finish();
  }

  /// Bidirectional streaming: a verdict for every claim, then the decision.
  grpc::Status Review(const grpc::ServerContext& context, Research& research) {
    const ClientContext call = CallWithin(context);
    const auto stream = critic_->Review(call.get());
    research.verdicts.clear();
    research.send_back = false;
    v1::ReviewRequest request;
    v1::ReviewReply reply;
    request.set_question(research.question);
    bool open = stream->Write(request);
    for (const v1::Claim& claim : research.summary.claims()) {
      *request.mutable_claim() = claim;
      open = open && stream->Write(request) && stream->Read(&reply);
      if (open) research.verdicts.push_back(reply.verdict());
    }
    stream->WritesDone();
    while (stream->Read(&reply)) {
      research.send_back = reply.decision().send_back();
      research.missing_terms.assign(reply.decision().missing_terms().begin(),
                                    reply.decision().missing_terms().end());
    }
    return stream->Finish();
  }

  grpc::Status CheckFacts(const grpc::ServerContext& context, Research& research) {
    v1::CheckRequest request;
    *request.mutable_claims() = research.summary.claims();
    request.mutable_passages()->Assign(research.passages.begin(), research.passages.end());
    v1::CheckReply reply;
    grpc::Status status = fact_checker_->Check(CallWithin(context).get(), request, &reply);
    if (status.ok()) research.verdicts.assign(reply.verdicts().begin(), reply.verdicts().end());
    return status;
  }

  static std::string Compose(const Research& research) {
    weft::Run run("compose_answer", {.run_type = weft::RunType::kPrompt});
    std::set<int> refused;
    for (const v1::Verdict& verdict : research.verdicts) {
      if (!verdict.accepted()) refused.insert(static_cast<int>(verdict.claim()));
    }
    std::string text;
    std::set<std::string> sources;
    for (int i = 0; i < research.summary.claims_size(); ++i) {
      if (refused.contains(i)) continue;
      const v1::Claim& claim = research.summary.claims(i);
      text += "- " + claim.text() + "\n";
      if (!claim.source().empty()) sources.insert(claim.source());
    }
    if (text.empty()) text = "The documents say nothing about it.\n";
    for (const std::string& source : sources) text += "  from " + source + "\n";
    run.SetOutputs({{"answer", text}});
    return text;
  }

  const std::unique_ptr<v1::Planner::Stub> planner_;
  const std::unique_ptr<v1::Retriever::Stub> retriever_;
  const std::unique_ptr<v1::Summariser::Stub> summariser_;
  const std::unique_ptr<v1::Critic::Stub> critic_;
  std::unique_ptr<v1::FactChecker::Stub> fact_checker_;
};

int Main(int argc, char** argv) {
  const AgentOptions options = ReadFlags(argc, argv,
                                         {.name = "gateway",
                                          .peers = {"planner", "retriever", "summariser", "critic"},
                                          .optional_peers = {"fact-checker"}});

  const auto tracer = weft::Tracer::FromEnvironment();
  if (!tracer.ok()) return Fail(options, tracer.status());
  std::map<std::string, std::shared_ptr<grpc::Channel>> channels;
  for (const auto& [name, address] : options.peers) {
    channels[name] =
        weft::CreateChannel(address, grpc::InsecureChannelCredentials(), {.tracer = *tracer});
  }
  GatewayService service(std::move(channels));
  grpc::ServerBuilder builder;
  builder.RegisterService(&service);
  if (const auto status = weft::InterceptServer(builder, {.tracer = *tracer}); !status.ok()) {
    return Fail(options, status);
  }
  return Serve(builder, options);
}

}  // namespace
}  // namespace research_team

int main(int argc, char** argv) { return research_team::Main(argc, argv); }

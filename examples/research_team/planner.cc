// SPDX-License-Identifier: Apache-2.0
// Decides what to search for. Every call is a fiber: straight code that calls another agent and
// blocks no thread while it waits.
#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <grpcpp/grpcpp.h>

#include <weft/async/call.h>
#include <weft/async/fiber_server.h>
#include <weft/interceptors/create_channel.h>
#include <weft/interceptors/intercept_server.h>
#include <weft/tracing/traceable.h>
#include <weft/tracing/tracer.h>

#include "agent.h"
#include "research_team.grpc.pb.h"
#include "text.h"

namespace research_team {
namespace {

constexpr std::size_t kTermsPerQuery = 2;
constexpr std::size_t kMaxQueries = 4;

using Counts = std::map<std::string, std::uint32_t>;

std::string Join(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : " ") + word;
  return text;
}

/// The whole question, then its rarest words in pairs: they say most about what is meant.
std::vector<std::string> MakeQueries(const std::vector<std::string>& terms, const Counts& counts) {
  std::vector<std::string> rare;
  for (const std::string& term : terms) {
    const auto found = counts.find(term);
    if (found != counts.end() && found->second > 0) rare.push_back(term);
  }
  std::stable_sort(rare.begin(), rare.end(),
                   [&counts](const auto& a, const auto& b) { return counts.at(a) < counts.at(b); });
  std::vector<std::string> queries;
  if (!rare.empty()) queries.push_back(Join(rare));
  for (std::size_t i = 0; i < rare.size() && queries.size() < kMaxQueries; i += kTermsPerQuery) {
    const std::size_t end = std::min(i + kTermsPerQuery, rare.size());
    if (end - i == rare.size()) break;  // The first query again.
    queries.push_back(Join({rare.begin() + static_cast<std::ptrdiff_t>(i),
                            rare.begin() + static_cast<std::ptrdiff_t>(end)}));
  }
  return queries;
}

// Every call of these is a run below the call that is being handled.
const auto pick_terms = weft::Traceable(
    "pick_terms", {.run_type = weft::RunType::kParser, .arguments = {"question"}}, &Terms);
const auto make_queries = weft::Traceable(
    "make_queries", {.run_type = weft::RunType::kTool, .arguments = {"terms", "counts"}},
    &MakeQueries);

class Planner {
 public:
  explicit Planner(const std::shared_ptr<grpc::Channel>& retriever)
      : retriever_(v1::Retriever::NewStub(retriever)) {}

  grpc::Status Plan(grpc::ServerContext* context, const v1::PlanRequest* request,
                    v1::ResearchPlan* plan) const {
    // What the critic missed comes alone: the rest has been searched for already.
    std::vector<std::string> terms(request->missing_terms().begin(),
                                   request->missing_terms().end());
    if (terms.empty()) terms = pick_terms(request->question());
    v1::CountTermsRequest count;
    for (const std::string& term : terms) count.add_terms(term);
    const auto call = grpc::ClientContext::FromServerContext(*context);
    const auto counts =
        weft::CallUnary(*retriever_, &v1::Retriever::Stub::PrepareAsyncCountTerms, count, *call);
    if (!counts.ok()) return counts.status;
    const auto& passages = counts.response.passages_with_term();
    for (std::string& query : make_queries(terms, Counts(passages.begin(), passages.end()))) {
      plan->add_queries(std::move(query));
    }
    return grpc::Status::OK;
  }

 private:
  const std::unique_ptr<v1::Retriever::Stub> retriever_;
};

int Main(int argc, char** argv) {
  const AgentOptions options = ReadFlags(argc, argv, {.name = "planner", .peers = {"retriever"}});

  const auto tracer = weft::Tracer::FromEnvironment();
  if (!tracer.ok()) return Fail(options, tracer.status());
  const Planner planner(weft::CreateChannel(
      options.peers.at("retriever"), grpc::InsecureChannelCredentials(), {.tracer = *tracer}));
  v1::Planner::AsyncService service;
  weft::FiberServer server;
  server.Handle(&service, &v1::Planner::AsyncService::RequestPlan,
                std::bind_front(&Planner::Plan, &planner));
  grpc::ServerBuilder builder;
  builder.RegisterService(&service);
  if (const auto status = weft::InterceptServer(builder, {.tracer = *tracer}); !status.ok()) {
    return Fail(options, status);
  }
  return Serve(server, builder, options);
}

}  // namespace
}  // namespace research_team

int main(int argc, char** argv) { return research_team::Main(argc, argv); }

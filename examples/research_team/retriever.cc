// SPDX-License-Identifier: Apache-2.0
// Finds passages. A callback service: its methods and local steps are traced as they are.
#include <algorithm>
#include <cstddef>
#include <utility>
#include <vector>

#include <grpcpp/grpcpp.h>

#include <weft/interceptors/intercept_server.h>
#include <weft/tracing/run.h>
#include <weft/tracing/tracer.h>

#include "agent.h"
#include "research_team.grpc.pb.h"
#include "search_index.h"

namespace research_team {
namespace {

constexpr std::size_t kDefaultLimit = 5;
constexpr std::size_t kMaxLimit = 100;

/// Sends passages one by one.
class PassageWriter final : public grpc::ServerWriteReactor<v1::Passage> {
 public:
  explicit PassageWriter(std::vector<v1::Passage> passages) : passages_(std::move(passages)) {
    Next();
  }

  void OnWriteDone(bool ok) override {
    ++next_;
    if (ok) {
      Next();
    } else {
      Finish(grpc::Status(grpc::StatusCode::CANCELLED, "the caller went away"));
    }
  }
  void OnDone() override { delete this; }

 private:
  void Next() {
    if (next_ < passages_.size()) {
      StartWrite(&passages_[next_]);
    } else {
      Finish(grpc::Status::OK);
    }
  }

  std::vector<v1::Passage> passages_;
  std::size_t next_ = 0;
};

class RetrieverService final : public v1::Retriever::CallbackService {
 public:
  explicit RetrieverService(const SearchIndex& index) : index_(index) {}

  grpc::ServerWriteReactor<v1::Passage>* Search(grpc::CallbackServerContext*,
                                                const v1::SearchRequest* request) override {
    const std::size_t limit =
        request->limit() == 0 ? kDefaultLimit : std::min<std::size_t>(request->limit(), kMaxLimit);
    return new PassageWriter(Find(request->query(), limit));
  }

  grpc::ServerUnaryReactor* CountTerms(grpc::CallbackServerContext* context,
                                       const v1::CountTermsRequest* request,
                                       v1::TermCounts* counts) override {
    counts->set_passages(static_cast<std::uint32_t>(index_.size()));
    for (const std::string& term : request->terms()) {
      (*counts->mutable_passages_with_term())[term] = index_.PassagesWith(term);
    }
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }

 private:
  std::vector<v1::Passage> Find(const std::string& query, std::size_t limit) const {
    weft::Run run("bm25", {.run_type = weft::RunType::kRetriever,
                           .inputs = {{"query", query}, {"limit", limit}}});
    std::vector<v1::Passage> passages;
    weft::JsonArray documents;
    for (const SearchIndex::Hit& hit : index_.Search(query, limit)) {
      v1::Passage& passage = passages.emplace_back();
      passage.set_source(hit.passage->source);
      passage.set_heading(hit.passage->heading);
      passage.set_text(hit.passage->text);
      passage.set_score(hit.score);
      documents.push_back({{"page_content", hit.passage->text},
                           {"type", "Document"},
                           {"metadata", {{"source", hit.passage->source}, {"score", hit.score}}}});
    }
    run.SetOutputs({{"documents", std::move(documents)}});
    return passages;
  }

  const SearchIndex& index_;
};

int Main(int argc, char** argv) {
  const AgentOptions options = ReadFlags(argc, argv, {.name = "retriever", .docs = true});
  const auto index = SearchIndex::Load(options.docs);
  if (!index.ok()) return Fail(options, index.status());

  const auto tracer = weft::Tracer::FromEnvironment();
  if (!tracer.ok()) return Fail(options, tracer.status());
  RetrieverService service(*index);
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

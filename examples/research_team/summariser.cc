// SPDX-License-Identifier: Apache-2.0
// Turns passages into a few sentences, with a model when OPENAI_BASE_URL names one, else by picking
// sentences. A synchronous service; both ways are runs with their token counts.
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <grpcpp/grpcpp.h>

#include <weft/interceptors/intercept_server.h>
#include <weft/tracing/run.h>
#include <weft/tracing/tracer.h>

#include "agent.h"
#include "chat_client.h"
#include "extract.h"
#include "research_team.grpc.pb.h"
#include "text.h"

namespace research_team {
namespace {

constexpr std::size_t kMaxPassages = 200;
constexpr std::size_t kClaims = 4;
const std::string kInstruction =
    "Answer the question in at most four sentences, from the passages alone. Plain text.";

std::string Prompt(const std::string& question, const std::vector<v1::Passage>& passages) {
  std::string prompt = "Question: " + question + "\n";
  for (const v1::Passage& passage : passages) {
    prompt += "\n[" + passage.source() + "] " + passage.text() + "\n";
  }
  return prompt;
}

class SummariserService final : public v1::Summariser::Service {
 public:
  explicit SummariserService(std::optional<ChatClient> chat) : chat_(std::move(chat)) {}

  grpc::Status Summarise(grpc::ServerContext*, grpc::ServerReader<v1::SummariseRequest>* reader,
                         v1::Summary* summary) override {
    std::string question;
    std::vector<v1::Passage> passages;
    for (v1::SummariseRequest request; reader->Read(&request);) {
      if (request.has_question()) {
        question = request.question();
      } else if (passages.size() < kMaxPassages) {
        passages.push_back(request.passage());
      }
    }
    if (question.empty()) return {grpc::StatusCode::INVALID_ARGUMENT, "question is missing"};
    if (!chat_ || !AskModel(question, passages, summary)) Extract(question, passages, summary);
    return grpc::Status::OK;
  }

 private:
  /// False when the model does not answer; the run keeps the reason.
  bool AskModel(const std::string& question, const std::vector<v1::Passage>& passages,
                v1::Summary* summary) const {
    const std::string prompt = Prompt(question, passages);
    weft::Run run("chat", {.run_type = weft::RunType::kLlm,
                           .inputs = {{"messages",
                                       {{{"role", "system"}, {"content", kInstruction}},
                                        {{"role", "user"}, {"content", prompt}}}}}});
    run.AddMetadata({{"ls_provider", "openai"}, {"ls_model_name", chat_->model()}});
    const auto completion = chat_->Complete(kInstruction, prompt);
    if (!completion.ok()) {
      run.SetError(completion.status());
      return false;
    }
    run.SetOutputs({{"role", "assistant"}, {"content", completion->text}});
    run.AddUsage(
        {.input_tokens = completion->input_tokens, .output_tokens = completion->output_tokens});
    for (std::string& sentence : Sentences(completion->text)) {
      v1::Claim* claim = summary->add_claims();
      claim->set_source(BestSource(sentence, passages));
      claim->set_text(std::move(sentence));
    }
    summary->set_method(chat_->model());
    return true;
  }

  static void Extract(const std::string& question, const std::vector<v1::Passage>& passages,
                      v1::Summary* summary) {
    weft::Run run("extract_claims",
                  {.inputs = {{"question", question}, {"passages", passages.size()}}});
    weft::JsonArray outputs;
    std::int64_t written = 0;
    for (v1::Claim& claim : ExtractClaims(question, passages, kClaims)) {
      outputs.push_back({{"text", claim.text()}, {"source", claim.source()}});
      written += CountTokens(claim.text());
      *summary->add_claims() = std::move(claim);
    }
    run.SetOutputs({{"claims", std::move(outputs)}});
    run.AddUsage(
        {.input_tokens = CountTokens(Prompt(question, passages)), .output_tokens = written});
    run.AddMetadata({{"tokenizer", std::string(kTokenizer)}});
    summary->set_method("extractive");
  }

  const std::optional<ChatClient> chat_;
};

int Main(int argc, char** argv) {
  const AgentOptions options = ReadFlags(argc, argv, {.name = "summariser"});

  const auto tracer = weft::Tracer::FromEnvironment();
  if (!tracer.ok()) return Fail(options, tracer.status());
  SummariserService service(ChatClient::FromEnvironment());
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

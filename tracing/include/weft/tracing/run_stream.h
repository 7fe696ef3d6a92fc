// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <utility>
#include <vector>

#include <weft/tracing/json.h>
#include <weft/tracing/run.h>
#include <weft/tracing/to_json.h>

namespace weft {
inline namespace v0 {

/// Collects the outputs of a run that arrive in pieces, such as the tokens of a model.
///
///     weft::Run run("answer", {.run_type = weft::RunType::kLlm});
///     weft::RunStream<std::string> tokens(run.Ref(), [](const std::vector<std::string>& all) {
///       return weft::JsonObject{{"text", Join(all)}};
///     });
///     while (reader->Read(&token)) tokens.Add(token.text());
///
/// The first piece makes the event `new_token`, from which LangSmith knows the time to it; the run
/// says it as `first_token_time`, too. At the end the reducer makes the outputs of all pieces;
/// without one they are `{"output": [...]}`.
///
/// Ownership: `RunStream(std::move(run))` keeps the run and ends it with the stream: for what
///   produces the pieces later than the function that began the run, such as a generator.
/// Threads: one at a time.
/// Errors: none; a reducer that throws gives outputs that say so. A run that is not recorded keeps
///   no pieces.
template <typename Piece>
class [[nodiscard]] RunStream {
 public:
  using Reducer = std::function<JsonObject(const std::vector<Piece>&)>;

  explicit RunStream(RunRef run, Reducer reducer = {})
      : run_(std::move(run)), reducer_(std::move(reducer)) {}
  explicit RunStream(Run run, Reducer reducer = {})
      : run_(run.Ref()), owned_(std::move(run)), reducer_(std::move(reducer)) {}
  RunStream(RunStream&& other) noexcept
      : run_(std::exchange(other.run_, RunRef())),
        owned_(std::move(other.owned_)),
        reducer_(std::move(other.reducer_)),
        pieces_(std::move(other.pieces_)) {}
  RunStream& operator=(RunStream&&) = delete;
  ~RunStream() { Finish(); }

  void Add(Piece piece) {
    if (!run_.recording()) return;
    if (pieces_.empty()) run_.AddEvent("new_token");
    pieces_.push_back(std::move(piece));
  }

  /// Of an owned run: the pieces so far are kept.
  template <typename Error>
  void SetError(const Error& error) noexcept {
    owned_.SetError(error);
  }

  /// There are no more pieces. A second call does nothing.
  void Finish() noexcept {
    const RunRef run = std::exchange(run_, RunRef());
    if (run.recording()) run.SetOutputs(Reduce());
    owned_.End();
  }

 private:
  JsonObject Reduce() const noexcept try {
    if (reducer_) return reducer_(pieces_);
    return {{"output", ToJson(pieces_)}};
  } catch (const std::exception& error) {
    return {{"weft_error", error.what()}};
  } catch (...) {
    return {{"weft_error", "the reducer threw no std::exception"}};
  }

  RunRef run_;
  Run owned_;
  Reducer reducer_;
  std::vector<Piece> pieces_;
};

}  // namespace v0
}  // namespace weft

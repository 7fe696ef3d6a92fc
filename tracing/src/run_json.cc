// SPDX-License-Identifier: Apache-2.0
#include "run_json.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <utility>

#include <weft/version.h>

#include "dotted_order.h"
#include "json_writer.h"

#include <sys/utsname.h>

namespace weft {
inline namespace v0 {
namespace internal {
namespace {

// What is left of a text that is cut, in bytes.
constexpr std::size_t kShown = 1024;

std::string RenderRuntime() {
  utsname system{};
  std::string platform = "unknown";
  if (uname(&system) == 0) {
    platform = std::string(system.sysname) + "-" + system.release + "-" + system.machine;
  }
  std::string text;
  AppendJson(
      text, JsonObject {
        {"sdk", "weft-cpp"}, {"sdk_version", WEFT_VERSION}, {"library", "weft"}, {"runtime", "c++"},
            {"platform", platform},
#if defined(__clang__)
        {
          "compiler", "clang " __clang_version__
        }
      });
#else
                              {"compiler", "g++ " __VERSION__}});
#endif
  return text;
}

const std::string& RuntimeJson() {
  static const std::string* const kText = new std::string(RenderRuntime());
  return *kText;
}

/// Writes without looking whether there is room.
class Pen {
 public:
  explicit Pen(char* at) noexcept : at_(at) {}

  void Write(std::string_view text) noexcept {
    std::memcpy(at_, text.data(), text.size());
    at_ += text.size();
  }
  /// An id out of a dotted order: others write it in upper case.
  void WriteId(std::string_view id) noexcept {
    // Digits and hyphens have the bit of lower case, too.
    constexpr std::uint64_t kLowerCase = 0x2020202020202020;
    std::array<std::uint64_t, (RunId::kTextSize + 7) / 8> words;
    std::memcpy(words.data(), id.data(), RunId::kTextSize);
    for (std::uint64_t& word : words) word |= kLowerCase;
    std::memcpy(at_, words.data(), RunId::kTextSize);
    at_ += RunId::kTextSize;
  }
  void WriteTime(std::chrono::system_clock::time_point time) noexcept {
    WriteIsoTime(time, at_);
    at_ += kIsoTimeSize;
  }
  char* at() const noexcept { return at_; }

 private:
  char* at_;
};

/// The ids of a run in its dotted order, as text.
struct Ids {
  /// The last segment is one of weft's own; those before it may be of another length.
  explicit Ids(std::string_view dotted_order) noexcept {
    if (dotted_order.size() < kSegmentSize) return;
    id = LastOf(dotted_order);
    trace_id = LastOf(dotted_order.substr(0, dotted_order.find('.')));
    if (dotted_order.size() == kSegmentSize) return;
    parent_id = LastOf(dotted_order.substr(0, dotted_order.size() - kSegmentSize - 1));
  }

  static constexpr std::string_view kNil = "00000000-0000-0000-0000-000000000000";
  std::string_view id = kNil;
  std::string_view trace_id = kNil;
  std::string_view parent_id;  ///< Empty: a root.

 private:
  static std::string_view LastOf(std::string_view segments) noexcept {
    return segments.substr(segments.size() - RunId::kTextSize);
  }
};

// `head` is what stands before a value: `,"key":`.

void AppendText(std::string& out, std::string_view head, std::string_view value) {
  out += head;
  AppendJsonString(out, value);
}

void AppendTime(std::string& out, std::string_view head,
                std::chrono::system_clock::time_point time) {
  out += head;
  out += '"';
  AppendIsoTime(out, time);
  out += '"';
}

void AppendAttribute(std::string& out, const RunAttribute& attribute) {
  AppendJsonString(out, attribute.key);
  out += ':';
  struct Writer {
    std::string& out;
    void operator()(bool value) const { out += value ? "true" : "false"; }
    void operator()(std::int64_t value) const { AppendJsonNumber(out, value); }
    void operator()(double value) const { AppendJsonNumber(out, value); }
    void operator()(std::string_view value) const { AppendJsonString(out, value); }
  };
  std::visit(Writer{out}, attribute.value);
}

/// The quick answer for most runs: attributes of instrumentation, a template and an environment
/// that have surely no key in common.
bool SurelyDistinct(const RunRecord& record) {
  if (!record.metadata.empty() || !record.context.baggage().metadata.empty()) return false;
  std::uint64_t seen = 0;
  const SharedMetadata* const all_shared[] = {record.kind ? &record.kind->metadata : nullptr,
                                              record.environment.get()};
  for (const SharedMetadata* shared : all_shared) {
    if (shared == nullptr) continue;
    if ((seen & shared->key_bits()) != 0) return false;
    seen |= shared->key_bits();
  }
  for (const RunAttribute& attribute : record.attributes) {
    const std::uint64_t bit = SharedMetadata::KeyBit(attribute.key);
    if ((seen & bit) != 0) return false;
    seen |= bit;
  }
  return true;
}

bool SharesAKey(const RunRecord& record) {
  if (SurelyDistinct(record)) return false;
  const JsonObject* const given[] = {&record.context.baggage().metadata, &record.metadata};
  const auto is_given = [&](std::string_view key) {
    return given[0]->contains(key) || given[1]->contains(key);
  };
  const auto any_given = [&](const SharedMetadata& shared) {
    return std::any_of(shared.values().begin(), shared.values().end(),
                       [&](const auto& member) { return is_given(member.key()); });
  };
  const auto attribute = [&](std::string_view key) {
    return std::count_if(record.attributes.begin(), record.attributes.end(),
                         [&](const RunAttribute& a) { return a.key == key; });
  };
  const auto is_attribute = [&](const SharedMetadata& shared) {
    return std::any_of(shared.values().begin(), shared.values().end(),
                       [&](const auto& member) { return attribute(member.key()) > 0; });
  };
  const bool has_given = !given[0]->empty() || !given[1]->empty();
  if (record.kind) {
    if (has_given && any_given(record.kind->metadata)) return true;
    if (is_attribute(record.kind->metadata)) return true;
    if (record.environment) {
      for (const auto& member : record.environment->values()) {
        if (record.kind->metadata.values().contains(member.key())) return true;
      }
    }
  }
  if (record.environment) {
    if (has_given && any_given(*record.environment)) return true;
    if (is_attribute(*record.environment)) return true;
  }
  for (const RunAttribute& a : record.attributes) {
    if (is_given(a.key) || attribute(a.key) > 1) return true;
  }
  return std::any_of(given[1]->begin(), given[1]->end(),
                     [&](const auto& member) { return given[0]->contains(member.key()); });
}

}  // namespace

void RunJson::Write(const RunRecord& record, const RunContext& context, std::size_t max_size) {
  for (std::string* text : {&run_, &inputs_, &outputs_, &events_, &extra_, &error_}) text->clear();
  WriteMain(record, context, /*shorten=*/false);
  if (record.operation == RunRecord::Operation::kPost || !record.inputs.empty()) {
    AppendJson(inputs_, record.inputs);
  }
  if (record.outputs) AppendJson(outputs_, *record.outputs);
  if (record.error) AppendJsonString(error_, *record.error);
  WriteEvents(record);
  WriteExtra(record);
  if (!Shorten(max_size)) WriteMain(record, context, /*shorten=*/true);
}

void RunJson::AppendTo(std::string& out) const {
  out.append(run_, 0, run_.size() - 1);  // Without the brace: more members follow.
  const std::pair<std::string_view, std::string_view> fields[] = {{",\"inputs\":", inputs_},
                                                                  {",\"outputs\":", outputs_},
                                                                  {",\"events\":", events_},
                                                                  {",\"extra\":", extra_},
                                                                  {",\"error\":", error_}};
  for (const auto& [head, json] : fields) {
    if (!json.empty()) out.append(head).append(json);
  }
  out += '}';
}

void RunJson::WriteMain(const RunRecord& record, const RunContext& context, bool shorten) {
  constexpr std::size_t kLongest = 400;  // What follows, without the dotted order.
  const std::string_view dotted_order = context.dotted_order();
  run_.resize(kLongest + dotted_order.size());
  const Ids ids(dotted_order);
  Pen pen(run_.data());
  pen.Write("{\"id\":\"");
  pen.WriteId(ids.id);
  pen.Write("\",\"trace_id\":\"");
  pen.WriteId(ids.trace_id);
  if (!ids.parent_id.empty()) {
    pen.Write("\",\"parent_run_id\":\"");
    pen.WriteId(ids.parent_id);
  }
  pen.Write("\",\"dotted_order\":\"");
  pen.Write(dotted_order);
  pen.Write("\",\"run_type\":\"");
  pen.Write(RunTypeName(record.type));
  pen.Write("\",\"start_time\":\"");
  pen.WriteTime(record.start);
  if (record.end) {
    pen.Write("\",\"end_time\":\"");
    pen.WriteTime(*record.end);
  }
  pen.Write("\",\"name\":");
  run_.resize(static_cast<std::size_t>(pen.at() - run_.data()));
  AppendJsonString(run_, record.DisplayName().substr(0, shorten ? kShown : std::string::npos));
  const TraceBaggage& baggage = context.baggage();
  if (baggage.address) {
    AppendText(run_, ",\"address\":", *baggage.address);
  } else {
    AppendText(run_, ",\"session_name\":",
               baggage.project ? std::string_view(*baggage.project) : "default");
  }
  if (shorten) {
    run_ += ",\"tags\":[\"weft_truncated\"]";
  } else {
    WriteTags(record);
  }
  const auto token = std::find_if(record.events.begin(), record.events.end(),
                                  [](const RunEvent& event) { return event.name == "new_token"; });
  if (token != record.events.end()) AppendTime(run_, ",\"first_token_time\":", token->time);
  run_ += '}';
}

void RunJson::WriteTags(const RunRecord& record) {
  const std::vector<std::string>& inherited = record.context.baggage().tags;
  if (inherited.empty() && record.tags.empty()) return;
  run_ += ",\"tags\":[";
  for (const std::string& tag : record.AllTags()) {
    AppendJsonString(run_, tag);
    run_ += ',';
  }
  run_.back() = ']';
}

void RunJson::WriteEvents(const RunRecord& record) {
  if (record.events.empty()) return;
  events_ += '[';
  for (const RunEvent& event : record.events) {
    events_ += "{\"name\":";
    AppendJsonString(events_, event.name);
    AppendTime(events_, ",\"time\":", event.time);
    if (!event.kwargs.empty()) {
      events_ += ",\"kwargs\":";
      AppendJson(events_, event.kwargs);
    }
    events_ += "},";
  }
  events_.back() = ']';
}

void RunJson::WriteExtra(const RunRecord& record) {
  extra_ += "{\"metadata\":";
  WriteMetadata(record);
  extra_ += ",\"runtime\":";
  extra_ += RuntimeJson();
  extra_ += '}';
}

void RunJson::WriteMetadata(const RunRecord& record) {
  // A key may be said at several levels; only then an object must be built to say it once.
  if (SharesAKey(record)) return AppendJson(extra_, record.AllMetadata());
  const std::size_t start = extra_.size();
  extra_ += '{';
  const auto append_shared = [this](const SharedMetadata& shared) {
    if (shared.json().empty()) return;
    extra_ += shared.json();
    extra_ += ',';
  };
  if (record.environment) append_shared(*record.environment);
  if (record.kind) append_shared(record.kind->metadata);
  AppendJsonMembers(extra_, record.context.baggage().metadata);
  for (const RunAttribute& attribute : record.attributes) {
    AppendAttribute(extra_, attribute);
    extra_ += ',';
  }
  AppendJsonMembers(extra_, record.metadata);
  if (extra_.size() == start + 1) {
    extra_ += '}';
  } else {
    extra_.back() = '}';
  }
}

bool RunJson::Shorten(std::size_t max_size) {
  std::string* const fields[] = {&inputs_, &outputs_, &events_, &extra_, &error_};
  std::size_t size = run_.size();
  for (const std::string* field : fields) size += field->size();
  while (size > max_size) {
    std::string& largest = **std::max_element(
        std::begin(fields), std::end(fields),
        [](const std::string* a, const std::string* b) { return a->size() < b->size(); });
    std::string marker = &largest == &error_    ? "\"weft_truncated: "
                         : &largest == &events_ ? "[{\"weft_truncated\":{\"bytes\":"
                                                : "{\"weft_truncated\":{\"bytes\":";
    AppendJsonNumber(marker, static_cast<std::uint64_t>(largest.size()));
    if (&largest == &error_) {
      marker += " bytes\"";
    } else {
      marker += ",\"start\":";
      AppendJsonString(marker, std::string_view(largest).substr(0, kShown));
      marker += &largest == &events_ ? "}}]" : "}}";
    }
    if (marker.size() >= largest.size()) return false;
    size -= largest.size() - marker.size();
    largest = std::move(marker);
  }
  return true;
}

}  // namespace internal
}  // namespace v0
}  // namespace weft

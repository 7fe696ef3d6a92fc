// SPDX-License-Identifier: Apache-2.0
#include "langsmith/run_facts.h"

#include <algorithm>
#include <cstring>

#include "langsmith/json_scanner.h"

namespace weft::collector {
namespace {

constexpr std::size_t kUuidLength = 36;

absl::Status Breach(std::initializer_list<std::string_view> words) {
  std::string text;
  for (const std::string_view word : words) text += word;
  return absl::InvalidArgumentError(text);
}

/// A value for a message: cut, so that a message stays a line.
std::string Shown(std::string_view json) {
  constexpr std::size_t kLongest = 100;
  return json.size() <= kLongest ? std::string(json)
                                 : std::string(json.substr(0, kLongest)) + "...";
}

/// Reads a member that holds a UUID; leaves `id` nil when it is absent.
absl::Status ReadId(std::string_view member, std::string_view json, RunId* id) {
  if (json.empty()) return absl::OkStatus();
  // Hardly anybody writes one with escapes.
  std::optional<RunId> parsed;
  if (json.size() == kUuidLength + 2 && json.front() == '"') {
    parsed = RunId::Parse(json.substr(1, kUuidLength));
  }
  if (const auto text = parsed ? std::nullopt : JsonStringValue(json)) parsed = RunId::Parse(*text);
  if (!parsed || parsed->IsNil()) return Breach({member, ": ", Shown(json), " is not a UUID"});
  *id = *parsed;
  return absl::OkStatus();
}

/// The ids that a dotted order is made of, as far as they are needed.
struct DottedOrder {
  std::size_t parts = 0;
  RunId first, last_but_one, last;
};

bool AreEightDigits(const char* at) {
  std::uint64_t word;
  std::memcpy(&word, at, sizeof word);
  constexpr std::uint64_t kHighHalves = 0xf0f0f0f0f0f0f0f0, kZeros = 0x3030303030303030;
  const std::uint64_t past_nine = word + 0x0606060606060606;
  return (word & kHighHalves) == kZeros && (past_nine & kHighHalves) == kZeros;
}

bool IsTimestamp(std::string_view text) {
  constexpr std::string_view kForm = "00000000T000000";
  if (text.size() <= kForm.size() + 1 || text.size() > kForm.size() + 7 || text.back() != 'Z') {
    return false;
  }
  if (text[8] != 'T' || !AreEightDigits(text.data())) return false;
  // At least seven digits, at most thirteen.
  const std::string_view time = text.substr(9, text.size() - 10);
  if (time.size() < 8) return AreEightDigits(("0" + std::string(time)).data());
  return AreEightDigits(time.data()) && AreEightDigits(time.data() + time.size() - 8);
}

absl::Status ReadDottedOrder(std::string_view json, DottedOrder* order) {
  std::string unescaped;
  std::string_view text;
  if (json.size() >= 2 && json.front() == '"' && json.find('\\') == std::string_view::npos) {
    text = json.substr(1, json.size() - 2);
  } else if (auto value = JsonStringValue(json)) {
    text = unescaped = *std::move(value);
  } else {
    return Breach({"dotted_order: ", Shown(json), " is not a string"});
  }
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t end = std::min(text.find('.', at), text.size());
    const std::string_view part = text.substr(at, end - at);
    const std::size_t time = part.size() > kUuidLength ? part.size() - kUuidLength : 0;
    const auto id = RunId::Parse(part.substr(time));
    if (!id || !IsTimestamp(part.substr(0, time))) {
      return Breach({"dotted_order: part ", std::to_string(order->parts + 1), " '", Shown(part),
                     "' is not a time followed by a UUID"});
    }
    if (order->parts++ == 0) order->first = *id;
    order->last_but_one = order->last;
    order->last = *id;
    at = end + 1;
  }
  return absl::OkStatus();
}

/// `lrn:agents/ID/environments/NAME` -> `ID/NAME`; empty for anything else.
std::string ProjectOfAddress(std::string_view address) {
  constexpr std::string_view kAgents = "lrn:agents/", kEnvironments = "/environments/";
  if (!address.starts_with(kAgents)) return "";
  address.remove_prefix(kAgents.size());
  const std::size_t slash = address.find(kEnvironments);
  if (slash == std::string_view::npos) return "";
  std::string environment(address.substr(slash + kEnvironments.size()));
  std::transform(environment.begin(), environment.end(), environment.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return std::string(address.substr(0, slash)) + "/" + environment;
}

absl::Status CheckDottedOrder(const DottedOrder& order, RunId* parent, RunOp* op,
                              Additions* additions) {
  if (order.last != op->run_id) {
    return Breach({"dotted_order: its last part names ", order.last.ToString(), ", id is ",
                   op->run_id.ToString()});
  }
  if (op->trace_id.IsNil()) op->trace_id = order.first;
  if (order.first != op->trace_id) {
    return Breach({"dotted_order: its first part names ", order.first.ToString(), ", trace_id is ",
                   op->trace_id.ToString()});
  }
  if (order.parts == 1) {
    if (!parent->IsNil()) return Breach({"dotted_order: has one part, but parent_run_id is set"});
    return absl::OkStatus();
  }
  if (parent->IsNil()) {
    *parent = order.last_but_one;
    // A PATCH need not repeat what the POST said.
    if (op->kind == OpKind::kPost) {
      additions->emplace_back("parent_run_id", '"' + parent->ToString() + '"');
    }
  }
  if (order.last_but_one != *parent) {
    return Breach({"dotted_order: its last part but one names ", order.last_but_one.ToString(),
                   ", parent_run_id is ", parent->ToString()});
  }
  return absl::OkStatus();
}

}  // namespace

// By its length, for most members are none of these.
std::string_view* RunFacts::SlotOf(std::string_view key) {
  const auto only = [key](std::string_view name, std::string_view* slot) {
    return key == name ? slot : nullptr;
  };
  switch (key.size()) {
    case 2:
      return only("id", &id);
    case 5:
      return only("error", &error);
    case 6:
      return only("run_id", &run_id);
    case 7:
      return only("address", &address);
    case 8:
      return only("trace_id", &trace_id);
    case 12:
      return key == "dotted_order" ? &dotted_order : only("session_name", &session_name);
    case 13:
      return only("parent_run_id", &parent_run_id);
    default:
      return nullptr;
  }
}

absl::Status RunFacts::Read(std::string_view json) {
  JsonScanner scanner(json);
  if (!scanner.EnterObject()) return Breach({"expected a JSON object"});
  while (const auto member = scanner.NextMember()) {
    std::string_view* const slot = SlotOf(member->key);
    if (slot != nullptr) *slot = member->value == "null" ? std::string_view() : member->value;
  }
  if (!scanner.Finish()) return Breach({scanner.error()});
  defects = scanner.defects();
  return absl::OkStatus();
}

absl::Status IdentifyRun(const RunFacts& facts, RunOp* op, Additions* additions) {
  RunId id, parent;
  DottedOrder order;
  if (auto status = ReadId("id", facts.id, &id); !status.ok()) return status;
  if (auto status = ReadId("trace_id", facts.trace_id, &op->trace_id); !status.ok()) return status;
  if (auto status = ReadId("parent_run_id", facts.parent_run_id, &parent); !status.ok()) {
    return status;
  }
  if (op->run_id.IsNil()) op->run_id = id;
  if (op->run_id.IsNil()) return Breach({"id: missing"});
  if (id.IsNil()) additions->emplace_back("id", '"' + op->run_id.ToString() + '"');
  if (!id.IsNil() && id != op->run_id) {
    return Breach({"id: is ", id.ToString(), ", sent as ", op->run_id.ToString()});
  }
  op->has_error |= !facts.error.empty();
  if (!facts.session_name.empty()) {
    op->project = JsonStringValue(facts.session_name).value_or("");
  } else if (!facts.address.empty()) {
    op->project = ProjectOfAddress(JsonStringValue(facts.address).value_or(""));
  }
  if (op->project.size() > kMaxProjectBytes) {
    return Breach({"session_name: longer than 1024 bytes"});
  }
  if (!facts.dotted_order.empty()) {
    if (auto status = ReadDottedOrder(facts.dotted_order, &order); !status.ok()) return status;
    if (auto status = CheckDottedOrder(order, &parent, op, additions); !status.ok()) return status;
  } else if (op->kind == OpKind::kPost && parent.IsNil()) {
    if (op->trace_id.IsNil()) op->trace_id = op->run_id;
    if (op->trace_id != op->run_id) {
      return Breach({"trace_id: a run without parent_run_id has its own id as trace_id, this is ",
                     op->trace_id.ToString()});
    }
  }
  op->is_root = parent.IsNil() && op->trace_id == op->run_id;
  if (op->trace_id == op->run_id && !parent.IsNil()) {
    return Breach({"trace_id: is the run's own id, but parent_run_id is set"});
  }
  return absl::OkStatus();
}

absl::Status IdentifyFeedback(const RunFacts& facts, RunOp* op) {
  if (auto status = ReadId("run_id", facts.run_id, &op->run_id); !status.ok()) return status;
  return ReadId("trace_id", facts.trace_id, &op->trace_id);
}

std::string WithMembers(std::string_view object, const Additions& additions) {
  std::string text = "{";
  const auto add = [&text](std::string_view key, std::string_view value) {
    if (text.size() > 1) text += ',';
    text.append("\"").append(key).append("\":").append(value);
  };
  JsonScanner scanner(object);
  scanner.EnterObject();
  while (const auto member = scanner.NextMember()) {
    const bool replaced = std::any_of(additions.begin(), additions.end(),
                                      [&](const auto& a) { return a.first == member->key; });
    if (!replaced) add(member->key, member->value);
  }
  for (const auto& [key, value] : additions) add(key, value);
  return text += '}';
}

}  // namespace weft::collector

// SPDX-License-Identifier: Apache-2.0
#include "baggage_parser.h"

#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "percent.h"
#include "text.h"
#include "utf8.h"

namespace weft {
inline namespace v0 {
namespace internal {
namespace {

struct Member {
  std::string_view key;
  std::string_view value;  // Still encoded, without properties.
};

// LangSmith's keys; of several members of one key the last counts, as in its SDKs.
struct LangsmithMembers {
  Member metadata{"langsmith-metadata", {}};
  Member tags{"langsmith-tags", {}};
  Member project{"langsmith-project", {}};
  Member address{"langsmith-address", {}};
  Member replicas{"langsmith-replicas", {}};

  Member* Find(std::string_view key) noexcept {
    for (Member* member : {&metadata, &tags, &project, &address, &replicas}) {
      if (member->key == key) return member;
    }
    return nullptr;
  }
};

bool Given(const Member& member) noexcept { return member.value.data() != nullptr; }

// A member's name for people: short, and valid UTF-8 whatever was received.
std::string Quoted(std::string_view name) {
  constexpr std::size_t kMost = 40;
  const bool cut = name.size() > kMost;
  return "`" + ToValidUtf8(name.substr(0, kMost)) + (cut ? "...`" : "`");
}

std::string Decode(const Member& member, ProblemList& problems) {
  PercentDecoded decoded = PercentDecode(member.value);
  if (decoded.bad_escape) {
    problems.Add("bad-percent-escape",
                 "baggage member " + Quoted(member.key) + " has a % without two hex digits; kept");
  }
  if (decoded.invalid_utf8) {
    problems.Add("invalid-utf8",
                 "baggage member " + Quoted(member.key) + " is no UTF-8; replaced by U+FFFD");
  }
  return std::move(decoded.text);
}

void ReadMetadata(const Member& member, TraceBaggage& out, ProblemList& problems) {
  if (!Given(member)) return;
  std::optional<Json> json = ParseJson(Decode(member, problems));
  if (json && json->is_object()) {
    out.metadata = std::move(json->get_object());
  } else if (!json || !json->is_null()) {
    problems.Add("bad-metadata", "baggage member `langsmith-metadata` is no JSON object");
  }
}

void ReadTags(const Member& member, TraceBaggage& out, ProblemList& problems) {
  if (!Given(member)) return;
  const std::string text = Decode(member, problems);
  const auto tag_count = static_cast<std::size_t>(std::count(text.begin(), text.end(), ',')) + 1;
  out.tags.reserve(tag_count);
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t comma = std::min(text.find(',', at), text.size());
    out.tags.push_back(text.substr(at, comma - at));
    at = comma + 1;
  }
  if (out.tags.size() == 1) return;
  std::sort(out.tags.begin(), out.tags.end());
  out.tags.erase(std::unique(out.tags.begin(), out.tags.end()), out.tags.end());
}

void ReadDestination(const LangsmithMembers& members, TraceBaggage& out, ProblemList& problems) {
  if (Given(members.project)) {
    std::string project = Decode(members.project, problems);
    if (!project.empty()) out.project = std::move(project);
  }
  if (!Given(members.address)) return;
  std::optional<std::string> address = NormalizeAgentAddress(Decode(members.address, problems));
  if (!address) {
    problems.Add("bad-address", "baggage member `langsmith-address` is no agent address");
  } else if (out.project) {
    problems.Add("project-and-address",
                 "baggage names both a project and an agent address; the project counts");
  } else {
    out.address = std::move(address);
  }
}

void ReadMember(std::string_view text, LangsmithMembers& members, TraceBaggage& out,
                ProblemList& problems) {
  const std::size_t equals = text.find('=');
  const std::string_view key = TrimBlanks(text.substr(0, equals));
  if (equals == text.npos || !IsToken(key)) {
    problems.Add("bad-baggage-member",
                 "baggage member " + Quoted(key) +
                     (equals == text.npos ? " has no value" : " has a malformed key"));
    return;
  }
  const std::string_view rest = text.substr(equals + 1);
  const Member member{key, TrimBlanks(rest.substr(0, rest.find(';')))};
  if (Member* const known = members.Find(key)) {
    known->value = member.value;
  } else {
    out.foreign.emplace_back(key, Decode(member, problems));
  }
}

}  // namespace

void ParseBaggage(std::string_view header, TraceBaggage& out, ProblemList& problems) {
  LangsmithMembers members;
  for (std::size_t at = 0; at < header.size();) {
    const std::size_t comma = std::min(header.find(',', at), header.size());
    const std::string_view member = TrimBlanks(header.substr(at, comma - at));
    if (!member.empty()) ReadMember(member, members, out, problems);
    at = comma + 1;
  }
  ReadMetadata(members.metadata, out, problems);
  ReadTags(members.tags, out, problems);
  ReadDestination(members, out, problems);
  if (Given(members.replicas)) {
    // Nothing that a caller says may choose where runs are sent (CVE-2026-25528).
    problems.Add("replicas-ignored", "baggage member `langsmith-replicas` is never followed");
  }
}

}  // namespace internal
}  // namespace v0
}  // namespace weft

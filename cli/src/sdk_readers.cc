// SPDX-License-Identifier: Apache-2.0
// What is odd here is odd there: each branch is something that the SDK does, and the golden vectors
// that were made with the SDKs are the test.
#include "sdk_readers.h"

#include <algorithm>
#include <chrono>
#include <set>
#include <string_view>
#include <utility>

#include <simdjson.h>

#include <weft/tracing/trace_baggage.h>

namespace weft::cli {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";
constexpr std::size_t kUuidSize = 36;

std::string_view View(const boost::json::string& text) { return {text.data(), text.size()}; }

/// A failure that leaves the reader, by the name of its class.
struct Thrown {
  std::string error;
};

bool IsBlank(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

std::string_view Strip(std::string_view text) {
  while (!text.empty() && IsBlank(text.front())) text.remove_prefix(1);
  while (!text.empty() && IsBlank(text.back())) text.remove_suffix(1);
  return text;
}

std::vector<std::string_view> Split(std::string_view text, char at) {
  std::vector<std::string_view> parts;
  for (std::size_t end = text.find(at); end != text.npos; end = text.find(at)) {
    parts.push_back(text.substr(0, end));
    text.remove_prefix(end + 1);
  }
  parts.push_back(text);
  return parts;
}

std::vector<std::string> SplitTags(std::string_view text) {
  const auto parts = Split(text, ',');
  return {parts.begin(), parts.end()};
}

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool IsUtf8(std::string_view text) { return simdjson::validate_utf8(text.data(), text.size()); }

/// The bytes behind `%XX`; false: there was a `%` without two digits, which stays.
bool Unquote(std::string_view text, std::string& out) {
  bool good = true;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool whole = text[i] == '%' && i + 2 < text.size() && HexDigit(text[i + 1]) >= 0 &&
                       HexDigit(text[i + 2]) >= 0;
    if (!whole) {
      good = good && text[i] != '%';
      out += text[i];
      continue;
    }
    out += static_cast<char>(HexDigit(text[i + 1]) * 16 + HexDigit(text[i + 2]));
    i += 2;
  }
  return good;
}

std::string UnquoteLikePython(std::string_view text) {
  std::string bytes;
  Unquote(text, bytes);
  if (IsUtf8(bytes)) return bytes;
  std::string out;
  for (std::size_t i = 0; i < bytes.size();) {
    std::size_t size = 1;
    while (size <= 4 && !IsUtf8(std::string_view(bytes).substr(i, size))) ++size;
    if (size > 4) {
      out += kReplacement;
      ++i;
    } else {
      out.append(bytes, i, size);
      i += size;
    }
  }
  return out;
}

std::string UnquoteLikeNpm(std::string_view text) {
  std::string bytes;
  if (!Unquote(text, bytes) || !IsUtf8(bytes)) throw Thrown{"URIError"};
  return bytes;
}

bool AllDigits(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

unsigned Number(std::string_view digits) {
  unsigned number = 0;
  for (const char c : digits) number = number * 10 + static_cast<unsigned>(c - '0');
  return number;
}

// `20260910T004640000001Z`, as strptime takes it.
bool IsTimestamp(std::string_view text) {
  if (text.size() < 17 || text.size() > 22 || (text[8] != 'T' && text[8] != 't') ||
      (text.back() != 'Z' && text.back() != 'z')) {
    return false;
  }
  const std::string_view time = text.substr(9, text.size() - 10);
  if (!AllDigits(text.substr(0, 8)) || !AllDigits(time)) return false;
  const std::chrono::year_month_day day{
      std::chrono::year(static_cast<int>(Number(text.substr(0, 4)))),
      std::chrono::month(Number(text.substr(4, 2))), std::chrono::day(Number(text.substr(6, 2)))};
  return day.ok() && Number(time.substr(0, 2)) < 24 && Number(time.substr(2, 2)) < 60 &&
         Number(time.substr(4, 2)) < 60;
}

// The id in lower case, or nothing.
std::string PythonUuid(std::string_view text) {
  std::string digits;
  for (const char c : text) {
    if (c == '-') continue;
    if (HexDigit(c) < 0) return {};
    digits += c >= 'A' && c <= 'F' ? static_cast<char>(c - 'A' + 'a') : c;
  }
  if (digits.size() != 32) return {};
  for (const std::size_t at : {8u, 13u, 18u, 23u}) digits.insert(at, "-");
  return digits;
}

void ReadTraceLikePython(std::string_view header, HeaderReading& reading) {
  for (const std::string_view segment : Split(Strip(header), '.')) {
    const std::size_t time = segment.size() - std::min(segment.size(), kUuidSize);
    reading.run_id = PythonUuid(segment.substr(time));
    if (reading.run_id.empty() || !IsTimestamp(segment.substr(0, time))) throw Thrown{"ValueError"};
    if (reading.trace_id.empty()) reading.trace_id = reading.run_id;
  }
}

bool IsTruthy(const Json& value) {
  switch (value.kind()) {
    case boost::json::kind::null:
      return false;
    case boost::json::kind::bool_:
      return value.get_bool();
    case boost::json::kind::string:
      return !value.get_string().empty();
    case boost::json::kind::array:
      return !value.get_array().empty();
    case boost::json::kind::object:
      return !value.get_object().empty();
    default:
      return value.to_number<double>() != 0;
  }
}

bool IsTrue(const Json* value) { return value != nullptr && value->is_bool() && value->get_bool(); }

// Where reading `baggage` ends in Python: what came before is kept.
struct Stopped {};

struct PythonBaggage {
  Json metadata = JsonObject();
  std::vector<std::string> tags;
  std::string project;
  std::optional<std::string> address;
  std::size_t replicas = 0;
  std::size_t primaries = 0;

  void Replica(const Json& replica) {
    if (replica.is_array()) {
      replicas += replica.get_array().size() == 2 ? 1 : 0;
    } else if (replica.is_object()) {
      const JsonObject& fields = replica.get_object();
      const Json* const name = fields.if_contains("project_name");
      const Json* const where = fields.if_contains("address");
      const bool known = where != nullptr && where->is_string() &&
                         NormalizeAgentAddress(View(where->get_string())).has_value();
      if ((name == nullptr || !IsTruthy(*name)) && !known) return;
      ++replicas;
      primaries += IsTrue(fields.if_contains("primary")) ? 1 : 0;
    }
  }

  void Take(std::string_view key, std::string_view value) {
    if (key == "langsmith-metadata") {
      std::optional<Json> json = ParseJson(UnquoteLikePython(value));
      if (!json) throw Stopped{};
      metadata = *std::move(json);
    } else if (key == "langsmith-tags") {
      tags = SplitTags(UnquoteLikePython(value));
    } else if (key == "langsmith-project") {
      project = UnquoteLikePython(value);
    } else if (key == "langsmith-address") {
      address = NormalizeAgentAddress(UnquoteLikePython(value));
    } else if (key == "langsmith-replicas") {
      const std::optional<Json> json = ParseJson(UnquoteLikePython(value));
      if (!json || !(json->is_array() || json->is_object() || json->is_string())) throw Stopped{};
      if (!json->is_array()) return;
      replicas = primaries = 0;
      for (const Json& replica : json->get_array()) Replica(replica);
    }
  }
};

// Blanks are part of a key there; W3C allows them around it.
void NoteBlanks(std::string_view key, HeaderReading& reading) {
  if (key == Strip(key) || !Strip(key).starts_with("langsmith-")) return;
  reading.notes.push_back("does not know `" + std::string(Strip(key)) +
                          "` with a blank beside its name");
}

PythonBaggage ReadBaggageLikePython(std::string_view header, HeaderReading& reading) {
  PythonBaggage baggage;
  if (header.empty()) return baggage;
  for (const std::string_view member : Split(header, ',')) {
    const std::size_t equals = member.find('=');
    try {
      if (equals == member.npos) throw Stopped{};
      NoteBlanks(member.substr(0, equals), reading);
      baggage.Take(member.substr(0, equals), member.substr(equals + 1));
    } catch (const Stopped&) {
      reading.notes.push_back("stops reading `baggage` at the member `" +
                              std::string(Strip(member.substr(0, equals))) + "`");
      break;
    }
  }
  return baggage;
}

HeaderReading PythonReading(std::string_view trace, std::string_view baggage_header) {
  HeaderReading reading;
  ReadTraceLikePython(trace, reading);
  PythonBaggage baggage = ReadBaggageLikePython(baggage_header, reading);
  if (IsTruthy(baggage.metadata)) {
    if (!baggage.metadata.is_object()) throw Thrown{"TypeError"};
    reading.metadata = std::move(baggage.metadata.get_object());
  }
  const std::set<std::string> tags(baggage.tags.begin(), baggage.tags.end());
  reading.tags.assign(tags.begin(), tags.end());
  if (!baggage.project.empty() && baggage.address) {
    reading = {};
    reading.notes.emplace_back("takes no parent whose `baggage` names a project and an address");
    return reading;
  }
  if (!baggage.project.empty()) reading.project = std::move(baggage.project);
  reading.address = std::move(baggage.address);
  if (baggage.primaries > 1) throw Thrown{"ValidationError"};
  reading.replicas = baggage.replicas;
  reading.outcome = HeaderReading::Outcome::kParent;
  return reading;
}

void ReadTraceLikeNpm(std::string_view header, HeaderReading& reading) {
  const std::vector<std::string_view> segments = Split(Strip(header), '.');
  const auto id = [](std::string_view segment) {
    const std::vector<std::string_view> parts = Split(segment, 'Z');
    return parts.size() > 1 ? std::string(parts[1]) : std::string();
  };
  reading.run_id = id(segments.back());
  reading.trace_id = id(segments.front());
  if (reading.trace_id.empty()) reading.trace_id = reading.run_id;
}

Json ParseLikeNpm(std::string_view text) {
  std::optional<Json> json = ParseJson(text);
  if (!json) throw Thrown{"SyntaxError"};
  return *std::move(json);
}

// `{...metadata}`: indices where it is no object.
JsonObject Spread(Json metadata) {
  if (metadata.is_object()) return std::move(metadata.get_object());
  JsonObject spread;
  if (metadata.is_array()) {
    for (Json& element : metadata.get_array()) {
      spread[std::to_string(spread.size())] = std::move(element);
    }
  } else if (metadata.is_string()) {
    for (const char c : View(metadata.get_string())) {
      const bool continues = (static_cast<unsigned char>(c) & 0xC0U) == 0x80;
      if (!continues) spread[std::to_string(spread.size())] = "";
      spread[std::to_string(spread.size() - 1)].as_string().push_back(c);
    }
  }
  return spread;
}

std::size_t ReplicasLikeNpm(const Json& replicas) {
  if (!replicas.is_array()) throw Thrown{"TypeError"};
  std::size_t primaries = 0;
  for (const Json& replica : replicas.get_array()) {
    if (replica.is_null()) throw Thrown{"TypeError"};
    if (replica.is_object())
      primaries += IsTrue(replica.get_object().if_contains("primary")) ? 1 : 0;
  }
  if (primaries > 1) throw Thrown{"Error"};
  return replicas.get_array().size();
}

HeaderReading NpmReading(std::string_view trace, std::string_view baggage) {
  HeaderReading reading;
  ReadTraceLikeNpm(trace, reading);
  reading.outcome = HeaderReading::Outcome::kParent;
  if (baggage.empty()) return reading;
  for (const std::string_view member : Split(baggage, ',')) {
    const std::vector<std::string_view> parts = Split(member, '=');
    // What is not there decodes as the text "undefined".
    const std::string value = parts.size() > 1 ? UnquoteLikeNpm(parts[1]) : "undefined";
    NoteBlanks(parts[0], reading);
    if (parts[0] == "langsmith-metadata") {
      reading.metadata = Spread(ParseLikeNpm(value));
    } else if (parts[0] == "langsmith-tags") {
      reading.tags = SplitTags(value);
    } else if (parts[0] == "langsmith-project") {
      reading.project = value;
    } else if (parts[0] == "langsmith-replicas") {
      reading.replicas = ReplicasLikeNpm(ParseLikeNpm(value));
    } else if (parts[0] == "langsmith-address") {
      reading.notes.emplace_back("does not know agent addresses");
    }
    if (parts.size() > 2 && parts[0].starts_with("langsmith-")) {
      reading.notes.push_back("loses what follows the second `=` of `" + std::string(parts[0]) +
                              "`");
    }
  }
  reading.no_project = !reading.project;
  return reading;
}

std::string Lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  return text;
}

// The values of a header as a framework hands them over; names count as they are written.
std::vector<std::string_view> Find(const HeaderFields& headers, std::string_view name,
                                   HeaderReading& reading) {
  std::vector<std::string_view> values;
  for (const auto& [key, value] : headers) {
    if (key == name) {
      values.push_back(value);
    } else if (Lower(key) == name) {
      reading.notes.push_back("finds `" + key + "` only if the framework puts names in lower case");
    }
  }
  return values;
}

HeaderReading WithNotes(HeaderReading reading, std::vector<std::string> before) {
  reading.notes.insert(reading.notes.begin(), before.begin(), before.end());
  return reading;
}

HeaderReading Threw(const Thrown& thrown) {
  HeaderReading reading;
  reading.outcome = HeaderReading::Outcome::kThrows;
  reading.error = thrown.error;
  return reading;
}

}  // namespace

HeaderReading ReadLikePython(const HeaderFields& headers) {
  HeaderReading found;
  const auto trace = Find(headers, "langsmith-trace", found);
  const auto baggage = Find(headers, "baggage", found);
  if (trace.empty() || trace.back().empty()) return found;
  try {
    // A mapping of ASGI's headers has the last of several.
    return WithNotes(PythonReading(trace.back(), baggage.empty() ? "" : baggage.back()),
                     std::move(found.notes));
  } catch (const Thrown& thrown) {
    return WithNotes(Threw(thrown), std::move(found.notes));
  }
}

HeaderReading ReadLikeNpm(const HeaderFields& headers) {
  HeaderReading found;
  // Node joins several.
  const auto join = [](const std::vector<std::string_view>& values) {
    std::string joined;
    for (const std::string_view value : values) {
      joined.append(joined.empty() ? "" : ", ").append(value);
    }
    return joined;
  };
  const std::string trace = join(Find(headers, "langsmith-trace", found));
  const std::string baggage = join(Find(headers, "baggage", found));
  if (trace.empty()) return found;
  try {
    return WithNotes(NpmReading(trace, baggage), std::move(found.notes));
  } catch (const Thrown& thrown) {
    return WithNotes(Threw(thrown), std::move(found.notes));
  }
}

}  // namespace weft::cli

// SPDX-License-Identifier: Apache-2.0
#include "http/target.h"

#include <algorithm>
#include <vector>

namespace weft::collector {
namespace {

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  const char lower = static_cast<char>(c | 0x20);
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

std::string Decoded(std::string_view text, bool plus_is_blank) {
  std::string decoded;
  decoded.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    const int high = text[i] == '%' && i + 2 < text.size() ? HexDigit(text[i + 1]) : -1;
    const int low = high >= 0 ? HexDigit(text[i + 2]) : -1;
    if (low >= 0) {
      decoded += static_cast<char>(high * 16 + low);
      i += 2;
    } else {
      decoded += plus_is_blank && text[i] == '+' ? ' ' : text[i];
    }
  }
  return decoded;
}

std::vector<std::string_view> Segments(std::string_view path) {
  std::vector<std::string_view> segments;
  while (!path.empty()) {
    const std::size_t end = std::min(path.find('/'), path.size());
    if (end > 0) segments.push_back(path.substr(0, end));
    path.remove_prefix(std::min(end + 1, path.size()));
  }
  return segments;
}

Route FixedRoute(std::string_view name) {
  if (name == "info") return Route::kInfo;
  if (name == "live") return Route::kLive;
  if (name == "ready") return Route::kReady;
  if (name == "metrics") return Route::kMetrics;
  if (name == "runs") return Route::kRuns;
  if (name == "sessions") return Route::kSessions;
  return Route::kUnknown;
}

Route RunsRoute(std::string_view name) {
  if (name == "batch") return Route::kRunsBatch;
  if (name == "multipart") return Route::kRunsMultipart;
  if (name == "query") return Route::kRunsQuery;
  return Route::kRun;
}

}  // namespace

std::map<std::string, std::string> Target::Parameters() const {
  std::map<std::string, std::string> parameters;
  std::string_view rest = query;
  while (!rest.empty()) {
    const std::size_t end = std::min(rest.find('&'), rest.size());
    const std::string_view pair = rest.substr(0, end);
    const std::size_t equals = std::min(pair.find('='), pair.size());
    parameters.try_emplace(Decoded(pair.substr(0, equals), true),
                           Decoded(pair.substr(std::min(equals + 1, pair.size())), true));
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return parameters;
}

std::optional<std::string> Target::Parameter(std::string_view parameter) const {
  std::map<std::string, std::string> parameters = Parameters();
  const auto found = parameters.find(std::string(parameter));
  if (found == parameters.end()) return std::nullopt;
  return std::move(found->second);
}

Target ParseTarget(std::string_view target) {
  Target parsed;
  target = target.substr(0, target.find('#'));
  const std::size_t question = std::min(target.find('?'), target.size());
  parsed.query = target.substr(std::min(question + 1, target.size()));
  const std::string_view path = target.substr(0, question);
  if (path.empty() || path.front() != '/') return parsed;
  std::vector<std::string_view> segments = Segments(path);
  if (segments.size() >= 2 && segments[0] == "api" && segments[1] == "v1") {
    segments.erase(segments.begin(), segments.begin() + 2);
  }
  if (segments.empty()) {
    parsed.route = Route::kHome;
  } else if (segments[0] == "admin" && segments.size() > 1) {
    parsed.route = Route::kAdmin;
    for (std::size_t i = 1; i < segments.size(); ++i) {
      parsed.path.push_back(Decoded(segments[i], false));
    }
  } else if (segments.size() == 1) {
    parsed.route = FixedRoute(segments[0]);
  } else if (segments.size() >= 2 && segments.size() - 2 == (segments[0] == "otel" ? 1u : 0u) &&
             segments[segments.size() - 2] == "v1" && segments.back() == "traces") {
    parsed.route = Route::kOtlpTraces;
  } else if (segments.size() == 2 && segments[0] == "runs") {
    parsed.route = RunsRoute(segments[1]);
    parsed.id = Decoded(segments[1], false);
  } else if (segments.size() == 2 && segments[0] == "sessions") {
    parsed.route = Route::kSession;
    parsed.id = Decoded(segments[1], false);
  } else if (segments.size() == 4 && segments[0] == "runs" && segments[2] == "attachments") {
    parsed.route = Route::kAttachment;
    parsed.id = Decoded(segments[1], false);
    parsed.name = Decoded(segments[3], false);
  }
  return parsed;
}

bool IsForProbes(Route route) {
  return route == Route::kLive || route == Route::kReady || route == Route::kMetrics;
}

std::string_view AllowedMethods(Route route) {
  switch (route) {
    case Route::kRuns:
    case Route::kRunsBatch:
    case Route::kRunsMultipart:
    case Route::kRunsQuery:
    case Route::kOtlpTraces:
      return "POST";
    case Route::kRun:
      return "GET, HEAD, PATCH";
    case Route::kAdmin:
      return "GET, HEAD, POST, DELETE";
    default:
      return "GET, HEAD";
  }
}

bool IsAllowed(Route route, std::string_view method) {
  std::string_view allowed = AllowedMethods(route);
  for (;;) {
    const std::size_t end = std::min(allowed.find(", "), allowed.size());
    if (allowed.substr(0, end) == method) return true;
    if (end == allowed.size()) return false;
    allowed.remove_prefix(end + 2);
  }
}

}  // namespace weft::collector

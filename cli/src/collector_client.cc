// SPDX-License-Identifier: Apache-2.0
#include "collector_client.h"

#include <algorithm>
#include <limits>

#include <simdjson.h>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include <weft/tracing/run_id.h>

#include "text.h"

namespace weft::cli {
namespace {

constexpr std::size_t kPageSize = 2'000;  // each page of a trace reads all of it
// The collector takes fields that are 256 levels deep.
constexpr std::size_t kMaxRunDepth = 300;

absl::Status BadReply(const std::string& endpoint, const HttpResponse& response) {
  std::string text = EscapeControls(std::string_view(response.body).substr(0, 300));
  return absl::InternalError(endpoint + " answered with status " + std::to_string(response.status) +
                             (text.empty() ? "" : ": " + text));
}

/// `json` on one line, every number and string as it was written.
absl::StatusOr<std::string> OneLine(std::string_view json) {
  std::string out(json.size(), '\0');
  std::size_t size = 0;
  if (simdjson::minify(json.data(), json.size(), out.data(), size) != simdjson::SUCCESS) {
    return absl::InvalidArgumentError("a run of the reply cannot be read");
  }
  out.resize(size);
  return out;
}

absl::StatusOr<StoredRun> ReadStoredRun(std::string_view json) {
  absl::StatusOr<std::string> line = OneLine(json);
  if (!line.ok()) return line.status();
  boost::json::error_code error;
  boost::json::parse_options options;
  options.max_depth = kMaxRunDepth;
  const boost::json::value value = boost::json::parse(*line, error, {}, options);
  if (error) return absl::InvalidArgumentError("a run of the reply is no JSON");
  absl::StatusOr<RunView> view = ReadRun(value);
  if (!view.ok()) return view.status();
  return StoredRun{*std::move(line), *std::move(view)};
}

}  // namespace

absl::StatusOr<std::vector<StoredRun>> ParseRuns(const std::string& body, std::string* cursor) {
  namespace ondemand = simdjson::ondemand;
  const absl::Status unreadable =
      absl::InvalidArgumentError("the reply is no list of runs: is this a collector?");
  ondemand::parser parser;
  const simdjson::padded_string padded(body);
  ondemand::document document;
  ondemand::array array;
  if (parser.iterate(padded).get(document) != simdjson::SUCCESS ||
      document["runs"].get_array().get(array) != simdjson::SUCCESS) {
    return unreadable;
  }
  std::vector<StoredRun> runs;
  for (auto element : array) {
    ondemand::object object;
    std::string_view raw;
    if (element.get_object().get(object) != simdjson::SUCCESS ||
        object.raw_json().get(raw) != simdjson::SUCCESS) {
      return unreadable;
    }
    absl::StatusOr<StoredRun> run = ReadStoredRun(raw);
    if (!run.ok()) return run.status();
    runs.push_back(*std::move(run));
  }
  std::string_view next;
  const bool more = document["cursors"]["next"].get_string().get(next) == simdjson::SUCCESS;
  *cursor = more ? std::string(next) : std::string();
  return runs;
}

absl::StatusOr<std::string> ParseTraceId(std::string_view text) {
  std::string hyphenated(text);
  if (text.size() == 32) {
    for (const std::size_t at : {20, 16, 12, 8}) hyphenated.insert(at, 1, '-');
  }
  const auto id = RunId::Parse(hyphenated);
  if (!id) {
    return absl::InvalidArgumentError("TRACE_ID '" + EscapeControls(text) + "' is no UUID");
  }
  return id->ToString();
}

absl::StatusOr<std::vector<StoredRun>> CollectorClient::Query(boost::json::object query,
                                                              std::size_t limit) const {
  std::vector<StoredRun> runs;
  std::string cursor;
  do {
    query["limit"] = std::min(kPageSize, limit - runs.size());
    if (!cursor.empty()) query["cursor"] = cursor;
    absl::StatusOr<HttpResponse> reply = http_.Post("/runs/query", boost::json::serialize(query));
    if (!reply.ok()) return reply.status();
    if (reply->status != 200) return BadReply(http_.endpoint(), *reply);
    const std::string previous = cursor;
    absl::StatusOr<std::vector<StoredRun>> page = ParseRuns(reply->body, &cursor);
    if (!page.ok()) return page.status();
    // An empty page or a cursor that stands still would go on for ever.
    if (page->empty() || cursor == previous) cursor.clear();
    std::move(page->begin(), page->end(), std::back_inserter(runs));
  } while (!cursor.empty() && runs.size() < limit);
  return runs;
}

absl::StatusOr<std::vector<StoredRun>> CollectorClient::Trace(std::string_view trace_id) const {
  absl::StatusOr<std::vector<StoredRun>> runs =
      Query({{"trace", boost::json::string_view(trace_id.data(), trace_id.size())}},
            std::numeric_limits<std::size_t>::max());
  if (runs.ok()) {
    std::stable_sort(runs->begin(), runs->end(), [](const StoredRun& a, const StoredRun& b) {
      return a.view.dotted_order < b.view.dotted_order;
    });
  }
  return runs;
}

absl::StatusOr<std::string> CollectorClient::ProjectId(std::string_view project) const {
  absl::StatusOr<HttpResponse> reply = http_.Get("/sessions?limit=1&name=" + UrlEncode(project));
  if (!reply.ok()) return reply.status();
  if (reply->status != 200) return BadReply(http_.endpoint(), *reply);
  boost::json::error_code error;
  const boost::json::value sessions = boost::json::parse(reply->body, error);
  if (error || !sessions.is_array()) return BadReply(http_.endpoint(), *reply);
  for (const boost::json::value& session : sessions.get_array()) {
    const auto* object = session.if_object();
    const auto* id = object == nullptr ? nullptr : object->if_contains("id");
    if (id != nullptr && id->is_string()) {
      return std::string(id->get_string().data(), id->get_string().size());
    }
  }
  return absl::NotFoundError("no project '" + EscapeControls(project) + "' at " + http_.endpoint());
}

absl::StatusOr<std::vector<StoredRun>> CollectorClient::Roots(std::string_view project,
                                                              std::size_t limit) const {
  boost::json::object query{{"is_root", true}, {"order", "desc"}};
  if (!project.empty()) {
    absl::StatusOr<std::string> id = ProjectId(project);
    if (!id.ok()) return id.status();
    query["session"] = boost::json::array{*id};
  }
  absl::StatusOr<std::vector<StoredRun>> runs = Query(std::move(query), limit);
  if (runs.ok()) {
    std::stable_sort(runs->begin(), runs->end(), [](const StoredRun& a, const StoredRun& b) {
      return a.view.start_us > b.view.start_us;
    });
  }
  return runs;
}

}  // namespace weft::cli

// SPDX-License-Identifier: Apache-2.0
#include "langsmith/run_query.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <iterator>
#include <span>
#include <utility>

#include <absl/container/flat_hash_set.h>
#include <weft/tracing/json.h>

#include "langsmith/json_scanner.h"

namespace weft::collector {
namespace {

constexpr std::size_t kMostInPage = 2'000;  // SDKs ask for 100
constexpr std::size_t kPageBytes = 16u << 20;
constexpr std::size_t kRootsAtOnce = 100;
constexpr std::size_t kMostSeen = std::size_t{1} << 40;  // more than there ever are

absl::Status Refuse(std::string_view member, std::string_view why) {
  return absl::InvalidArgumentError(std::string(member) + ": " + std::string(why));
}

std::string_view View(const boost::json::string& text) { return {text.data(), text.size()}; }

/// Reads members of the query, one kind of value each. Null counts as absent.
class MemberReader {
 public:
  MemberReader(std::string_view name, const Json& value) : name_(name), value_(value) {}

  absl::Status ReadBool(std::optional<bool>* out) const {
    if (!value_.is_bool()) return Refuse(name_, "expected true or false");
    *out = value_.get_bool();
    return absl::OkStatus();
  }
  absl::Status ReadText(std::string* out) const {
    if (!value_.is_string()) return Refuse(name_, "expected a string");
    *out = View(value_.get_string());
    return absl::OkStatus();
  }
  absl::Status ReadTime(std::string* out) const {
    std::string text;
    if (auto status = ReadText(&text); !status.ok()) return status;
    const auto time = NormalTime(text);
    if (!time) return Refuse(name_, "'" + text + "' is not a time");
    *out = *time;
    return absl::OkStatus();
  }
  absl::Status ReadTexts(std::vector<std::string>* out) const {
    if (value_.is_string()) {
      out->emplace_back(View(value_.get_string()));
      return absl::OkStatus();
    }
    if (!value_.is_array()) return Refuse(name_, "expected an array of strings");
    for (const Json& element : value_.get_array()) {
      if (!element.is_string()) return Refuse(name_, "expected an array of strings");
      out->emplace_back(View(element.get_string()));
    }
    return absl::OkStatus();
  }
  absl::Status ReadIds(std::vector<RunId>* out) const {
    std::vector<std::string> texts;
    if (auto status = ReadTexts(&texts); !status.ok()) return status;
    for (const std::string& text : texts) {
      const auto id = RunId::Parse(text);
      if (!id) return Refuse(name_, "'" + text + "' is not a UUID");
      out->push_back(*id);
    }
    return absl::OkStatus();
  }
  absl::Status ReadId(std::optional<RunId>* out) const {
    std::vector<RunId> ids;
    if (auto status = ReadIds(&ids); !status.ok()) return status;
    if (ids.size() != 1) return Refuse(name_, "expected one UUID");
    *out = ids.front();
    return absl::OkStatus();
  }
  absl::Status ReadLimit(std::size_t* out) const {
    if (!value_.is_int64() || value_.get_int64() < 1) {
      return Refuse(name_, "expected a positive whole number");
    }
    *out = std::min(static_cast<std::size_t>(value_.get_int64()), kMostInPage);
    return absl::OkStatus();
  }
  absl::Status ReadOrder(std::optional<bool>* ascending) const {
    std::string order;
    if (auto status = ReadText(&order); !status.ok()) return status;
    if (order != "asc" && order != "desc") return Refuse(name_, "expected asc or desc");
    *ascending = order == "asc";
    return absl::OkStatus();
  }
  /// `<runs before>:<id of the last run>`.
  absl::Status ReadCursor(RunQuery* query) const {
    std::string cursor;
    if (auto status = ReadText(&cursor); !status.ok()) return status;
    const auto [end, error] =
        std::from_chars(cursor.data(), cursor.data() + cursor.size(), query->seen);
    const auto used = static_cast<std::size_t>(end - cursor.data());
    if (error == std::errc() && query->seen <= kMostSeen && used < cursor.size() &&
        cursor[used] == ':') {
      query->after = RunId::Parse(std::string_view(cursor).substr(used + 1));
    }
    return query->after ? absl::OkStatus() : Refuse(name_, "is not one that was given out");
  }

 private:
  std::string_view name_;
  const Json& value_;
};

/// Members that only steer how LangSmith itself works.
bool IsHarmless(std::string_view name) {
  return name == "skip_pagination" || name == "data_source_type" || name == "skip_prev_cursor" ||
         name == "use_experimental_search";
}

absl::Status ReadMember(std::string_view name, const Json& value, RunQuery* query) {
  const MemberReader reader(name, value);
  if (name == "session" || name == "session_id") return reader.ReadIds(&query->sessions);
  if (name == "id") return reader.ReadIds(&query->ids);
  if (name == "trace") return reader.ReadId(&query->trace);
  if (name == "parent_run") return reader.ReadId(&query->parent_run);
  if (name == "is_root") return reader.ReadBool(&query->is_root);
  if (name == "error") return reader.ReadBool(&query->error);
  if (name == "run_type") return reader.ReadText(&query->run_type);
  if (name == "start_time") return reader.ReadTime(&query->start_time);
  if (name == "end_time") return reader.ReadTime(&query->end_time);
  if (name == "reference_example") return reader.ReadTexts(&query->reference_examples);
  if (name == "order") return reader.ReadOrder(&query->ascending);
  if (name == "limit") return reader.ReadLimit(&query->limit);
  if (name == "select") return reader.ReadTexts(&query->select);
  if (name == "cursor") return reader.ReadCursor(query);
  if (IsHarmless(name)) return absl::OkStatus();
  return Refuse(name, "this collector cannot filter by it");
}

template <typename T>
bool Contains(const std::vector<T>& list, const T& value) {
  return std::find(list.begin(), list.end(), value) != list.end();
}

std::string_view MemberOf(std::string_view object, std::string_view name) {
  JsonScanner scanner(object);
  if (!scanner.EnterObject()) return {};
  while (const auto member = scanner.NextMember()) {
    if (member->key == name) return member->value;
  }
  return {};
}

bool Matches(const RunQuery& query, const StoredRun& run) {
  // By itself it was answered by the store, which knows a trace under OpenTelemetry's id, too.
  if (query.trace && !query.ids.empty() && run.trace_id != *query.trace) return false;
  if (query.parent_run && run.parent_run_id != *query.parent_run) return false;
  if (query.is_root && *query.is_root != run.parent_run_id.IsNil()) return false;
  if (query.error && *query.error != (run.status == "error")) return false;
  if (!query.sessions.empty() && !Contains(query.sessions, run.session_id)) return false;
  if (!query.run_type.empty() && run.run_type != query.run_type) return false;
  if (!query.start_time.empty() && run.start_time < query.start_time) return false;
  if (!query.end_time.empty() && run.start_time > query.end_time) return false;
  if (query.reference_examples.empty()) return true;
  const auto example = JsonStringValue(MemberOf(run.json, "reference_example_id"));
  return example && Contains(query.reference_examples, *example);
}

std::string Selected(const RunQuery& query, const StoredRun& run) {
  if (query.select.empty()) return run.json;
  std::string object = "{";
  JsonScanner scanner(run.json);
  if (!scanner.EnterObject()) return run.json;
  while (const auto member = scanner.NextMember()) {
    if (member->key != "id" && !Contains(query.select, std::string(member->key))) continue;
    if (object.size() > 1) object += ',';
    object.append("\"").append(member->key).append("\":").append(member->value);
  }
  return object += '}';
}

/// Takes runs one by one, in an order that does not change between pages, and keeps those of the
/// page that is asked for.
class PageBuilder {
 public:
  explicit PageBuilder(const RunQuery& query) : query_(query), skipping_(query.after.has_value()) {}

  /// False: the page is full and more would follow.
  bool Add(StoredRun run) {
    ++position_;
    if (skipping_) {
      skipping_ = run.id != *query_.after;
      return true;
    }
    if (!Matches(query_, run)) return true;
    if (runs_.size() == query_.limit || bytes_ >= kPageBytes) {
      more_ = true;
      return false;
    }
    last_ = run.id;
    last_position_ = position_;
    bytes_ += run.json.size();
    runs_.push_back(std::move(run));
    return true;
  }

  /// Runs come as they arrived; within a page they are shown by their start.
  void SortNewestFirst() {
    std::stable_sort(runs_.begin(), runs_.end(), [](const StoredRun& a, const StoredRun& b) {
      return b.start_time < a.start_time;
    });
  }

  std::string Finish() const {
    std::string page = "{\"runs\":[";
    for (const StoredRun& run : runs_) {
      if (page.back() != '[') page += ',';
      page += Selected(query_, run);
    }
    page += "],\"cursors\":{\"next\":";
    page += more_ ? "\"" + std::to_string(last_position_) + ":" + last_.ToString() + "\"" : "null";
    return page + "}}";
  }

 private:
  const RunQuery& query_;
  bool skipping_;
  bool more_ = false;
  std::size_t position_ = 0;
  std::size_t last_position_ = 0;
  std::size_t bytes_ = 0;
  RunId last_;
  std::vector<StoredRun> runs_;
};

/// Each once, in the order that is asked for.
absl::StatusOr<std::vector<RunId>> IdsOf(const RunStore& store, const RunQuery& query) {
  std::vector<RunId> ids;
  absl::flat_hash_set<RunId> seen;
  for (const RunId& id : query.ids) {
    if (seen.insert(id).second) ids.push_back(id);
  }
  if (ids.size() > kMostInPage) return Refuse("id", "more than 2000");
  if (!query.ascending) return ids;
  std::vector<std::pair<std::string, RunId>> starts;
  for (const RunId& id : ids) {
    const auto run = store.FindRun(id);
    if (run.ok()) starts.emplace_back(run->start_time, id);
  }
  std::stable_sort(starts.begin(), starts.end(), [&](const auto& a, const auto& b) {
    return *query.ascending ? a.first < b.first : b.first < a.first;
  });
  ids.clear();
  for (const auto& [start, id] : starts) ids.push_back(id);
  return ids;
}

/// Only what is in the page is in memory at once.
absl::StatusOr<std::string> AnswerByIds(const RunStore& store, const RunQuery& query) {
  const absl::StatusOr<std::vector<RunId>> ids = IdsOf(store, query);
  if (!ids.ok()) return ids.status();
  PageBuilder page(query);
  for (const RunId& id : *ids) {
    auto run = store.FindRun(id);
    if (absl::IsNotFound(run.status())) continue;
    if (!run.ok()) return run.status();
    if (!page.Add(*std::move(run))) break;
  }
  return page.Finish();
}

/// False: the page is full.
absl::StatusOr<bool> AddTrace(const RunStore& store, RunId trace_id, PageBuilder* page) {
  auto runs = store.FindTrace(trace_id);
  if (!runs.ok()) return runs.status();
  for (StoredRun& run : *runs) {
    if (!page->Add(std::move(run))) return false;
  }
  return true;
}

/// Adds the roots of a project, or all its runs, newest trace first. Says whether there may be more
/// than `limit` traces. Many are not in memory at once, however few of them the filters leave.
absl::StatusOr<bool> AddProject(const RunStore& store, const RunQuery& query,
                                const std::optional<std::string>& project, std::size_t limit,
                                PageBuilder* page) {
  const std::vector<RunId> ids = store.ListTraceIds({.project = project, .limit = limit});
  for (std::span<const RunId> rest = ids; !rest.empty();) {
    const std::span<const RunId> some = rest.first(std::min(rest.size(), kRootsAtOnce));
    rest = rest.subspan(some.size());
    auto roots = store.FindRoots(some);
    if (!roots.ok()) return roots.status();
    for (StoredRun& root : *roots) {
      const absl::StatusOr<bool> added =
          query.is_root == true ? page->Add(std::move(root)) : AddTrace(store, root.trace_id, page);
      if (!added.ok()) return added.status();
      if (!*added) return false;
    }
  }
  return ids.size() == limit;
}

absl::StatusOr<std::string> AnswerByProject(const RunStore& store, const RunQuery& query) {
  if (query.ascending == true)
    return Refuse("order", "asc needs trace, id or parent_run beside it");
  std::vector<std::optional<std::string>> projects;
  if (query.sessions.empty()) projects.emplace_back();
  for (const Project& project : store.Projects()) {
    if (Contains(query.sessions, project.id)) projects.emplace_back(project.name);
  }
  // More traces than the page holds are listed only when filters leave too few of them.
  for (std::size_t limit = query.seen + query.limit + 1;; limit *= 4) {
    PageBuilder page(query);
    bool more = false;
    for (const auto& project : projects) {
      const auto added = AddProject(store, query, project, limit, &page);
      if (!added.ok()) return added.status();
      more |= *added;
    }
    if (more) continue;
    page.SortNewestFirst();
    return page.Finish();
  }
}

}  // namespace

absl::StatusOr<RunQuery> RunQuery::Parse(std::string_view json) {
  boost::system::error_code error;
  const Json body = boost::json::parse({json.data(), json.size()}, error);
  if (error || !body.is_object()) return absl::InvalidArgumentError("body: not a JSON object");
  RunQuery query;
  for (const auto& [key, value] : body.get_object()) {
    if (value.is_null()) continue;
    const auto status = ReadMember({key.data(), key.size()}, value, &query);
    if (!status.ok()) return status;
  }
  return query;
}

absl::StatusOr<std::string> AnswerRunQuery(const RunStore& store, const RunQuery& query) {
  if (!query.ids.empty()) return AnswerByIds(store, query);
  absl::StatusOr<std::vector<StoredRun>> runs;
  if (query.trace) {
    runs = store.FindTrace(*query.trace);
  } else if (query.parent_run) {
    const auto parent = store.FindRun(*query.parent_run);
    if (absl::IsNotFound(parent.status())) return PageBuilder(query).Finish();
    if (!parent.ok()) return parent.status();
    runs = store.FindTrace(parent->trace_id);
  } else {
    return AnswerByProject(store, query);
  }
  if (!runs.ok()) return runs.status();
  if (query.ascending) {
    std::stable_sort(runs->begin(), runs->end(), [&](const StoredRun& a, const StoredRun& b) {
      return *query.ascending ? a.start_time < b.start_time : b.start_time < a.start_time;
    });
  }
  PageBuilder page(query);
  for (StoredRun& run : *runs) {
    if (!page.Add(std::move(run))) break;
  }
  return page.Finish();
}

std::string TimeText(std::uint64_t unix_us) {
  const std::chrono::sys_days day =
      std::chrono::floor<std::chrono::days>(std::chrono::sys_time<std::chrono::microseconds>(
          std::chrono::microseconds(static_cast<std::int64_t>(unix_us))));
  const std::chrono::year_month_day date(day);
  const auto us = unix_us % 86'400'000'000;
  const auto seconds = us / 1'000'000;
  char text[64];
  std::snprintf(text, sizeof text, "%04d-%02u-%02uT%02u:%02u:%02u.%06uZ",
                static_cast<int>(date.year()), static_cast<unsigned>(date.month()),
                static_cast<unsigned>(date.day()), static_cast<unsigned>(seconds / 3600),
                static_cast<unsigned>(seconds / 60 % 60), static_cast<unsigned>(seconds % 60),
                static_cast<unsigned>(us % 1'000'000));
  return text;
}

std::optional<std::string> NormalTime(std::string_view text) {
  const auto number = [&text](std::size_t digits) -> std::optional<int> {
    int value = 0;
    if (text.size() < digits) return std::nullopt;
    for (std::size_t i = 0; i < digits; ++i) {
      if (text[i] < '0' || text[i] > '9') return std::nullopt;
      value = value * 10 + (text[i] - '0');
    }
    text.remove_prefix(digits);
    return value;
  };
  const auto take = [&text](std::string_view any) {
    if (text.empty() || any.find(text.front()) == std::string_view::npos) return '\0';
    const char c = text.front();
    text.remove_prefix(1);
    return c;
  };
  const auto year = number(4);
  if (!year || !take("-")) return std::nullopt;
  const auto month = number(2);
  if (!month || !take("-")) return std::nullopt;
  const auto day = number(2);
  if (!day) return std::nullopt;
  const std::chrono::year_month_day date(std::chrono::year(*year),
                                         std::chrono::month(static_cast<unsigned>(*month)),
                                         std::chrono::day(static_cast<unsigned>(*day)));
  if (!date.ok()) return std::nullopt;
  std::int64_t us = std::chrono::sys_days(date).time_since_epoch().count() * 86'400'000'000;
  if (take("T ")) {
    const auto hour = number(2);
    if (!hour || !take(":")) return std::nullopt;
    const auto minute = number(2);
    if (!minute || *hour > 23 || *minute > 59) return std::nullopt;
    const auto second = take(":") ? number(2) : 0;
    if (!second || *second > 60) return std::nullopt;
    us += ((*hour * 60ll + *minute) * 60 + *second) * 1'000'000;
    if (take(".,")) {
      std::int64_t unit = 100'000;
      for (auto digit = number(1); digit; digit = number(1), unit /= 10) us += *digit * unit;
    }
  }
  if (const char sign = take("+-")) {
    const auto hours = number(2);
    take(":");
    const auto minutes = text.empty() ? 0 : number(2);
    if (!hours || !minutes) return std::nullopt;
    us -= (sign == '-' ? -1 : 1) * (*hours * 60ll + *minutes) * 60'000'000;
  } else {
    take("Zz");
  }
  if (!text.empty() || us < 0) return std::nullopt;
  return TimeText(static_cast<std::uint64_t>(us));
}

}  // namespace weft::collector

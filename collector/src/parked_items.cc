// SPDX-License-Identifier: Apache-2.0
#include "parked_items.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <utility>

#include <absl/strings/str_cat.h>
#include <boost/json.hpp>

#include "fold_json.h"

namespace weft::collector {
namespace {

namespace json = boost::json;

constexpr std::size_t kDefaultLimit = 100;
constexpr std::size_t kMaxLimit = 1000;
constexpr std::size_t kHeadBytes = 8192;
constexpr std::size_t kMaxReason = 500;

std::optional<std::uint64_t> ParseId(std::string_view text) {
  std::uint64_t id = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id, 16);
  if (text.size() != 16 || error != std::errc() || end != text.data() + text.size()) {
    return std::nullopt;
  }
  return id;
}

absl::Status BadId(std::string_view text) {
  return absl::InvalidArgumentError("id: '" + std::string(text) + "' is not 16 hexadecimal digits");
}

// What stands in front of the run in a line.
json::object Summary(std::string_view head) {
  json::object summary;
  FieldCutter cutter(head);
  for (std::string_view key, value; cutter.Next(key, value);) {
    for (const char* const wanted :
         {"time", "code", "reason", "op", "run_id", "trace_id", "receiver"}) {
      if (key != wanted) continue;
      if (auto text = JsonText(value)) summary[wanted] = text->substr(0, kMaxReason);
    }
  }
  return summary;
}

std::string Parameter(const AdminRequest& request, const char* name) {
  const auto found = request.parameters.find(name);
  return found == request.parameters.end() ? "" : found->second;
}

}  // namespace

absl::StatusOr<std::string> ParkedItems::Answer(const AdminRequest& request) const {
  const bool is_get = request.method == "GET";
  if (request.path.empty() && is_get) return List(request);
  const std::string name = request.path.size() == 1 ? request.path[0] : "";
  if (request.method == "POST" && (name == "redrive" || name == "delete")) {
    const auto chosen = Choose(request.body);
    if (!chosen.ok()) return chosen.status();
    return name == "redrive" ? RedriveAll(*chosen) : Delete(*chosen);
  }
  if (name.empty() || request.method == "POST") {
    return absl::UnimplementedError("method: " + request.method + " is not for this path");
  }
  if (is_get) return Show(name);
  const auto id = ParseId(name);
  if (!id) return BadId(name);
  const auto chosen = ChooseIds({*id}, "");
  if (!chosen.ok()) return chosen.status();
  return Delete(*chosen);
}

absl::StatusOr<std::string> ParkedItems::List(const AdminRequest& request) const {
  const std::string wanted = Parameter(request, "destination");
  const std::string limit_text = Parameter(request, "limit");
  std::size_t limit = kDefaultLimit;
  const auto [end, error] =
      std::from_chars(limit_text.data(), limit_text.data() + limit_text.size(), limit);
  if (!limit_text.empty() && (error != std::errc() || *end != '\0')) {
    return absl::InvalidArgumentError("limit: '" + limit_text + "' is not a number");
  }
  limit = std::clamp<std::size_t>(limit, 1, kMaxLimit);
  const std::string after_text = Parameter(request, "after");
  const auto after = ParseId(after_text);
  if (!after_text.empty() && (!after || wanted.empty())) {
    return absl::InvalidArgumentError("after: takes the id of an item, along with destination");
  }
  json::array items, places;
  for (const Place& place : places_) {
    if (!wanted.empty() && place.name != wanted) continue;
    places.push_back({{"destination", place.name},
                      {"operations", place.file->operations()},
                      {"bytes", place.file->bytes()}});
    for (const ParkedFile::Item& item : place.file->List(after.value_or(0), limit - items.size())) {
      const absl::StatusOr<std::string> head = place.file->Read(item.id, kHeadBytes);
      json::object entry = head.ok() ? Summary(*head) : json::object();
      entry["id"] = HexId(item.id);
      entry["destination"] = place.name;
      entry["bytes"] = item.length;
      entry["redriving"] = item.redrive;
      items.push_back(std::move(entry));
    }
  }
  if (places.empty()) return absl::NotFoundError("destination: there is no '" + wanted + "'");
  return json::serialize(json::object{{"items", std::move(items)}, {"places", std::move(places)}});
}

absl::StatusOr<std::string> ParkedItems::Show(std::string_view text) const {
  const auto id = ParseId(text);
  if (!id) return BadId(text);
  for (const Place& place : places_) {
    absl::StatusOr<std::string> line = place.file->Read(*id);
    if (!absl::IsNotFound(line.status())) return line;
  }
  return absl::NotFoundError("no parked item has the id " + std::string(text));
}

absl::StatusOr<std::vector<ParkedItems::Chosen>> ParkedItems::Choose(
    const std::string& body) const {
  json::error_code error;
  const json::value parsed = json::parse(body, error);
  const json::object* const wish = error ? nullptr : parsed.if_object();
  if (wish == nullptr) return absl::InvalidArgumentError("body: expected a JSON object");
  std::string destination;
  std::vector<std::uint64_t> ids;
  bool all = false, has_ids = false;
  for (const auto& [key, value] : *wish) {
    if (key == "destination" && value.is_string()) {
      destination.assign(value.get_string().data(), value.get_string().size());
    } else if (key == "all" && value.is_bool()) {
      all = value.get_bool();
    } else if (key == "ids" && value.is_array()) {
      has_ids = true;
      for (const json::value& entry : value.get_array()) {
        const auto id = entry.is_string()
                            ? ParseId({entry.get_string().data(), entry.get_string().size()})
                            : std::nullopt;
        if (!id) return BadId(json::serialize(entry));
        ids.push_back(*id);
      }
    } else {
      return absl::InvalidArgumentError("body: '" + std::string(key.data(), key.size()) +
                                        "' is not known, or of another type");
    }
  }
  if (all == has_ids) return absl::InvalidArgumentError("body: expected ids, or all: true");
  if (has_ids) return ChooseIds(std::move(ids), destination);
  std::vector<Chosen> chosen;
  for (const Place& place : places_) {
    if (destination.empty() || place.name == destination)
      chosen.push_back({&place, place.file->Ids()});
  }
  if (chosen.empty()) return absl::NotFoundError("destination: there is no '" + destination + "'");
  return chosen;
}

absl::StatusOr<std::vector<ParkedItems::Chosen>> ParkedItems::ChooseIds(
    std::vector<std::uint64_t> ids, const std::string& destination) const {
  std::vector<Chosen> chosen;
  for (const Place& place : places_) {
    if (!destination.empty() && place.name != destination) continue;
    Chosen here{&place, {}};
    std::erase_if(ids, [&](std::uint64_t id) {
      if (absl::IsNotFound(place.file->Read(id, 0).status())) return false;
      here.ids.push_back(id);
      return true;
    });
    if (!here.ids.empty()) chosen.push_back(std::move(here));
  }
  if (!ids.empty()) return absl::NotFoundError("no parked item has the id " + HexId(ids.front()));
  return chosen;
}

absl::StatusOr<std::string> ParkedItems::RedriveAll(const std::vector<Chosen>& chosen) const {
  Redriven total;
  for (const Chosen& part : chosen) {
    if (part.ids.empty()) continue;
    const absl::StatusOr<Redriven> redriven = part.place->redrive(part.ids);
    if (!redriven.ok()) return redriven.status();
    total.accepted += redriven->accepted;
    total.refused += redriven->refused;
    if (total.reason.empty()) total.reason = redriven->reason;
  }
  json::object answer{{"redriving", total.accepted}, {"refused", total.refused}};
  if (!total.reason.empty()) answer["reason"] = total.reason;
  return json::serialize(answer);
}

absl::StatusOr<std::string> ParkedItems::Delete(const std::vector<Chosen>& chosen) const {
  std::uint64_t deleted = 0;
  for (const Chosen& part : chosen) {
    const absl::StatusOr<std::uint64_t> discarded = part.place->file->Discard(part.ids);
    if (!discarded.ok()) return discarded.status();
    deleted += *discarded;
  }
  return absl::StrCat("{\"deleted\":", deleted, "}");
}

}  // namespace weft::collector

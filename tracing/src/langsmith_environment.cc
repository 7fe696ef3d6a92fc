// SPDX-License-Identifier: Apache-2.0
#include "langsmith_environment.h"

#include <algorithm>
#include <charconv>
#include <string>
#include <string_view>
#include <utility>

#include <absl/strings/str_cat.h>
#include <boost/json.hpp>

#include "base_url.h"

namespace weft {
inline namespace v0 {
namespace internal {
namespace {

using Endpoints = std::vector<LangSmithExporterOptions>;

/// What all endpoints have in common.
absl::StatusOr<LangSmithExporterOptions> ReadCommon(const Environment& environment) {
  LangSmithExporterOptions common;
  const absl::StatusOr<bool> plain =
      environment.Flag(environment.FindSdk("DISABLE_RUN_COMPRESSION"));
  if (!plain.ok()) return plain.status();
  common.compress = !*plain;
  if (const auto most = environment.FindSdk("BATCH_INGEST_SIZE_LIMIT")) {
    const std::optional<std::uint32_t> runs = PositiveNumber(most->value);
    if (!runs) return Unusable(*most, "is no number of runs above 0");
    common.batch_runs = *runs;
  }
  const absl::StatusOr<SpillSettings> spill = ReadSpill(environment);
  if (!spill.ok()) return spill.status();
  common.spill_dir = spill->folder;
  common.spill_bytes = spill->bytes;
  if (const auto workspace = environment.FindSdk("WORKSPACE_ID")) {
    if (!IsHeaderToken(workspace->value)) {
      return Unusable(*workspace, "holds a character that is not printable ASCII");
    }
    common.workspace_id = workspace->value;
  }
  return common;
}

/// Reads LANGSMITH_RUNS_ENDPOINTS. Its value holds keys: no message shows it.
class EndpointReader {
 public:
  EndpointReader(const Variable& variable, const LangSmithExporterOptions& common)
      : name_(variable.name), common_(common) {}

  absl::StatusOr<Endpoints> Read(const std::string& json) {
    boost::system::error_code error;
    const boost::json::value parsed = boost::json::parse(json, error);
    if (error || !(parsed.is_array() || parsed.is_object())) {
      return Refuse("is neither a JSON array of objects nor an object of addresses and keys");
    }
    absl::Status status =
        parsed.is_array() ? ReadArray(parsed.get_array()) : ReadObject(parsed.get_object());
    if (!status.ok()) return status;
    return std::move(endpoints_);
  }

 private:
  absl::Status Refuse(const std::string& why) const { return Unusable({name_, "***"}, why); }

  absl::Status Add(LangSmithExporterOptions endpoint, std::string_view url, std::string_view key,
                   const std::string& which) {
    const std::string_view base = TrimBaseUrl(url);
    if (!IsBaseUrl(base)) {
      return Refuse(which + " has no address http(s)://HOST[:PORT][/PATH]");
    }
    if (!IsHeaderToken(key)) {
      return Refuse(which + " has a key with a character that is not printable ASCII");
    }
    endpoint.endpoint = std::string(base);
    endpoint.api_key = std::string(key);
    endpoints_.push_back(std::move(endpoint));
    return absl::OkStatus();
  }

  absl::Status ReadObject(const boost::json::object& object) {
    for (const auto& [url, key] : object) {
      const std::string which = absl::StrCat("entry ", endpoints_.size() + 1);
      if (!key.is_string()) return Refuse(which + " has a key that is no string");
      if (absl::Status status = Add(common_, url, key.get_string(), which); !status.ok()) {
        return status;
      }
    }
    return absl::OkStatus();
  }

  absl::Status ReadArray(const boost::json::array& array) {
    for (const boost::json::value& element : array) {
      const std::string which = absl::StrCat("entry ", endpoints_.size() + 1);
      if (!element.is_object()) return Refuse(which + " is no object");
      if (absl::Status status = ReadEntry(element.get_object(), which); !status.ok()) return status;
    }
    const auto primaries = std::count_if(endpoints_.begin(), endpoints_.end(),
                                         [](const auto& e) { return e.primary.value_or(false); });
    if (primaries > 1) return Refuse("has more than one entry with \"primary\": true");
    // Only the primary keeps the ids; without one, all that stay in the run's project do.
    for (LangSmithExporterOptions& endpoint : endpoints_) {
      if (primaries > 0 && !endpoint.primary) endpoint.primary = false;
    }
    return absl::OkStatus();
  }

  absl::Status ReadEntry(const boost::json::object& entry, const std::string& which) {
    LangSmithExporterOptions endpoint = common_;
    std::string url;
    std::string key;
    const std::pair<const char*, std::string*> texts[] = {{"api_url", &url},
                                                          {"api_key", &key},
                                                          {"project_name", &endpoint.project},
                                                          {"workspace_id", &endpoint.workspace_id}};
    for (const auto& [member, target] : texts) {
      const boost::json::value* const value = entry.if_contains(member);
      if (value == nullptr || value->is_null()) continue;
      if (!value->is_string()) return Refuse(absl::StrCat(which, ": ", member, " is no string"));
      *target = std::string(value->get_string());
    }
    if (!entry.contains("api_key")) return Refuse(which + " has no api_key");
    if (!IsHeaderToken(endpoint.workspace_id)) {
      return Refuse(which + ": workspace_id holds a character that is not printable ASCII");
    }
    if (const boost::json::value* const primary = entry.if_contains("primary")) {
      if (!primary->is_bool()) return Refuse(which + ": primary is neither true nor false");
      endpoint.primary = primary->get_bool();
    }
    return Add(std::move(endpoint), url, key, which);
  }

  const std::string name_;
  const LangSmithExporterOptions common_;
  Endpoints endpoints_;
};

}  // namespace

absl::StatusOr<SpillSettings> ReadSpill(const Environment& environment) {
  SpillSettings spill;
  if (const auto folder = environment.FindSdk("FAILED_TRACES_DIR")) spill.folder = folder->value;
  const auto most = environment.FindSdk("FAILED_TRACES_MAX_MB");
  if (!most) return spill;
  double megabytes = 0;
  const char* const end = most->value.data() + most->value.size();
  const auto parsed = std::from_chars(most->value.data(), end, megabytes);
  if (parsed.ec != std::errc() || parsed.ptr != end || !(megabytes > 0 && megabytes < 1e9)) {
    return Unusable(*most, "is no number of megabytes above 0");
  }
  spill.bytes = static_cast<std::uint64_t>(megabytes * 1024 * 1024);
  return spill;
}

absl::StatusOr<Endpoints> ReadLangSmithEnvironment(const Environment& environment) {
  absl::StatusOr<LangSmithExporterOptions> common = ReadCommon(environment);
  if (!common.ok()) return common.status();
  const auto endpoint = environment.FindSdk("ENDPOINT");
  if (const auto several = environment.FindSdk("RUNS_ENDPOINTS")) {
    if (endpoint && several->value.starts_with('{')) {
      return Unusable({several->name, "***"}, "and " + endpoint->name + " cannot both be set");
    }
    return EndpointReader(*several, *common).Read(several->value);
  }
  if (!endpoint) return Endpoints{};
  const std::string_view base = TrimBaseUrl(endpoint->value);
  if (!IsBaseUrl(base)) return Unusable(*endpoint, "is not http(s)://HOST[:PORT][/PATH]");
  common->endpoint = std::string(base);
  if (const auto key = environment.FindSdk("API_KEY")) common->api_key = key->value;
  return Endpoints{*std::move(common)};
}

}  // namespace internal
}  // namespace v0
}  // namespace weft

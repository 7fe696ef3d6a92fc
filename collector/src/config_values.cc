// SPDX-License-Identifier: Apache-2.0
#include "config_values.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>
#include <optional>
#include <utility>

namespace weft::collector {
namespace {

struct Unit {
  std::string_view name;
  double factor;
};

constexpr std::array<Unit, 11> kSizes = {{{"", 1},
                                          {"B", 1},
                                          {"kB", 1e3},
                                          {"KB", 1e3},
                                          {"MB", 1e6},
                                          {"GB", 1e9},
                                          {"TB", 1e12},
                                          {"KiB", 1024.0},
                                          {"MiB", 1048576.0},
                                          {"GiB", 1073741824.0},
                                          {"TiB", 1099511627776.0}}};
constexpr std::array<Unit, 5> kDurations = {
    {{"ms", 0.001}, {"s", 1}, {"m", 60}, {"h", 3600}, {"d", 86400}}};

// A decimal number and its unit, which may follow a blank.
template <std::size_t N>
std::optional<double> WithUnit(std::string_view text, const std::array<Unit, N>& units) {
  const std::size_t digits = std::min(text.find_first_not_of("0123456789."), text.size());
  double number = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + digits, number);
  if (digits == 0 || parsed.ec != std::errc() || parsed.ptr != text.data() + digits) {
    return std::nullopt;
  }
  std::string_view name = text.substr(digits);
  if (name.size() > 1 && name.front() == ' ') name.remove_prefix(1);
  for (const Unit& unit : units) {
    if (unit.name == name) return number * unit.factor;
  }
  return std::nullopt;
}

absl::Status Wrong(std::string_view text, std::string_view expected) {
  return absl::InvalidArgumentError("'" + std::string(text) + "' is not " + std::string(expected));
}

struct HostPort {
  std::string host;
  std::string_view port;
};

std::optional<HostPort> Split(std::string_view address) {
  const std::size_t colon = address.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  std::string_view host = address.substr(0, colon);
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
    in6_addr parsed{};
    if (::inet_pton(AF_INET6, std::string(host).c_str(), &parsed) != 1) return std::nullopt;
  } else if (host.find_first_of(":[]/ ") != std::string_view::npos) {
    return std::nullopt;
  }
  return HostPort{std::string(host), address.substr(colon + 1)};
}

absl::StatusOr<DestinationConfig> ParseLangSmith(std::string_view text, std::string_view url) {
  const bool http = url.starts_with("http://") || url.starts_with("https://");
  const std::size_t host = http ? url.find("//") + 2 : 0;
  const std::string_view rest = url.substr(host);
  const std::string_view authority = rest.substr(0, rest.find('/'));
  if (!http || authority.empty() || rest.find_first_of("?# \t\"") != std::string_view::npos) {
    return Wrong(text, "langsmith=URL with a URL such as https://api.smith.langchain.com");
  }
  if (authority.find('@') != std::string_view::npos) {
    return absl::InvalidArgumentError(
        "langsmith=URL must not hold a user or key: a key comes from LANGSMITH_API_KEY or the "
        "file");
  }
  while (url.ends_with('/')) url.remove_suffix(1);
  return DestinationConfig{DestinationConfig::Kind::kLangSmith, std::string(url), ""};
}

absl::StatusOr<DestinationConfig> ParseOtlp(std::string_view text, std::string_view url) {
  const std::size_t slashes = std::min(url.find("://"), url.size());
  const std::string_view scheme = url.substr(0, slashes);
  const bool grpc = scheme == "grpc" || scheme == "grpcs";
  std::string_view rest = url.substr(std::min(slashes + 3, url.size()));
  while (rest.ends_with('/')) rest.remove_suffix(1);
  const std::string_view authority = rest.substr(0, rest.find('/'));
  const bool printable = std::all_of(rest.begin(), rest.end(), [](char c) {
    return c > ' ' && c < 0x7f && std::string_view("?#@\"").find(c) == std::string_view::npos;
  });
  const bool has_path = authority.size() != rest.size();
  const bool valid = grpc ? !has_path && ParseAddress(authority).ok()
                          : (scheme == "http" || scheme == "https") && !authority.empty();
  if (!printable || !valid) {
    return Wrong(text, "otlp=grpc://HOST:PORT, otlp=grpcs://HOST:PORT or otlp=http[s]://HOST:PORT");
  }
  return DestinationConfig{DestinationConfig::Kind::kOtlp,
                           std::string(scheme) + "://" + std::string(rest), ""};
}

}  // namespace

absl::StatusOr<std::uint64_t> ParseSize(std::string_view text) {
  const std::optional<double> size = WithUnit(text, kSizes);
  if (!size || *size > 9e18) return Wrong(text, "a size such as 512, 64MiB or 1.5GB");
  return static_cast<std::uint64_t>(*size);
}

std::string SizeText(std::uint64_t size) {
  constexpr std::array<std::string_view, 5> kUnits = {"", "KiB", "MiB", "GiB", "TiB"};
  std::size_t unit = 0;
  for (; size > 0 && size % 1024 == 0 && unit + 1 < kUnits.size(); size /= 1024) ++unit;
  return std::to_string(size) + std::string(kUnits[unit]);
}

std::string DurationText(std::chrono::seconds duration) {
  const auto count = duration.count();
  constexpr std::array<std::pair<std::int64_t, std::string_view>, 3> kUnits = {
      {{86400, "d"}, {3600, "h"}, {60, "m"}}};
  for (const auto& [seconds, unit] : kUnits) {
    const bool fits = count >= (unit == "m" ? 120 : seconds) && count % seconds == 0;
    if (fits) return std::to_string(count / seconds) + std::string(unit);
  }
  return std::to_string(count) + "s";
}

absl::StatusOr<std::chrono::seconds> ParseDuration(std::string_view text) {
  const std::optional<double> seconds = WithUnit(text, kDurations);
  const bool whole = seconds && *seconds == std::floor(*seconds) && *seconds < 1e10;
  if (!whole) return Wrong(text, "a time of whole seconds such as 10s, 5m, 12h or 14d");
  return std::chrono::seconds(static_cast<std::int64_t>(*seconds));
}

absl::StatusOr<bool> ParseBool(std::string_view text) {
  if (text == "true" || text == "1") return true;
  if (text == "false" || text == "0") return false;
  return Wrong(text, "true or false");
}

absl::StatusOr<std::uint64_t> ParseCount(std::string_view text) {
  std::uint64_t count = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), count);
  if (parsed.ec != std::errc() || parsed.ptr != text.data() + text.size() || count == 0) {
    return Wrong(text, "a positive number");
  }
  return count;
}

absl::StatusOr<double> ParseFactor(std::string_view text) {
  double factor = -1;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), factor);
  if (parsed.ec != std::errc() || parsed.ptr != text.data() + text.size() || !(factor >= 0) ||
      factor > 1e6) {
    return Wrong(text, "a number from 0 to 1000000, such as 2 or 1.5");
  }
  return factor;
}

std::string FactorText(double factor) {
  std::array<char, 32> text{};
  const auto end = std::to_chars(text.data(), text.data() + text.size(), factor).ptr;
  return {text.data(), end};
}

absl::StatusOr<std::string> ParseAddress(std::string_view text) {
  const std::optional<HostPort> parts = Split(text);
  std::uint32_t port = 0;
  if (parts) {
    const char* const end = parts->port.data() + parts->port.size();
    const auto parsed = std::from_chars(parts->port.data(), end, port);
    const bool valid = parsed.ec == std::errc() && parsed.ptr == end && port <= 65535;
    if (valid && !parts->host.empty()) return std::string(text);
  }
  return Wrong(text, "HOST:PORT with a port of 0 to 65535");
}

bool IsLoopback(std::string_view address) {
  const std::optional<HostPort> parts = Split(address);
  if (!parts) return false;
  in_addr v4{};
  if (::inet_pton(AF_INET, parts->host.c_str(), &v4) == 1) return (ntohl(v4.s_addr) >> 24) == 127;
  return parts->host == "::1" || parts->host == "localhost";
}

absl::StatusOr<DestinationConfig> ParseDestination(std::string_view text) {
  const std::size_t equals = text.find('=');
  const std::string_view kind = text.substr(0, equals);
  const std::string_view target = equals == std::string_view::npos ? "" : text.substr(equals + 1);
  if (kind == "langsmith") return ParseLangSmith(text, target);
  if (kind == "file" && !target.empty()) {
    return DestinationConfig{DestinationConfig::Kind::kFile, std::string(target), ""};
  }
  if (kind == "otlp") return ParseOtlp(text, target);
  if (kind == "kafka") {
    return absl::InvalidArgumentError("'" + std::string(text) +
                                      "': this version cannot forward to kafka=, only to "
                                      "langsmith=, otlp= and file=");
  }
  return Wrong(text, "langsmith=URL, otlp=URL or file=PATH");
}

}  // namespace weft::collector

// SPDX-License-Identifier: Apache-2.0
#include "langsmith/multipart.h"

#include <string.h>

#include <algorithm>
#include <charconv>
#include <optional>

namespace weft::collector {
namespace {

/// More would only waste memory: an SDK sends at most 100 runs of 8 parts.
constexpr std::size_t kMaxParts = 1u << 18;
constexpr std::size_t kMaxHeaderBytes = 16u << 10;
constexpr std::size_t kMaxBoundary = 200;

absl::Status Unreadable(std::string_view what) {
  return absl::InvalidArgumentError({what.data(), what.size()});
}

bool EqualsIgnoringCase(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const auto lower = [](char c) {
      return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
    };
    if (lower(a[i]) != lower(b[i])) return false;
  }
  return true;
}

std::string_view Trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

std::size_t Find(std::string_view text, std::string_view what, std::size_t from) {
  if (from > text.size()) return std::string_view::npos;
  const void* found = ::memmem(text.data() + from, text.size() - from, what.data(), what.size());
  if (found == nullptr) return std::string_view::npos;
  return static_cast<std::size_t>(static_cast<const char*>(found) - text.data());
}

/// The end of a parameter that begins at `from`: the next `;` that is not in quotes. A quote closes
/// only before `;` or the end, because SDKs put names there without escaping anything.
std::size_t ParameterEnd(std::string_view header, std::size_t from) {
  bool quoted = false;
  for (std::size_t i = from; i < header.size(); ++i) {
    if (header[i] == ';' && !quoted) return i;
    if (header[i] != '"') continue;
    const std::size_t next = header.find_first_not_of(" \t", i + 1);
    if (!quoted && i > from && header[i - 1] == '=') {
      quoted = true;
    } else if (quoted && (next == std::string_view::npos || header[next] == ';')) {
      quoted = false;
    }
  }
  return header.size();
}

struct Parameter {
  std::string_view name, value;  ///< The value without quotes, escapes as they are.
};

Parameter ReadParameter(std::string_view text) {
  const std::size_t equals = std::min(text.find('='), text.size());
  std::string_view value = Trim(text.substr(std::min(equals + 1, text.size())));
  if (value.size() >= 2 && value.front() == '"' && value.back() == '"') {
    value = value.substr(1, value.size() - 2);
  }
  return {Trim(text.substr(0, equals)), value};
}

/// The parameter `name` of a header's value: `; name=value` or `; name="value"`.
std::optional<Parameter> FindParameter(std::string_view header, std::string_view name) {
  if (header.find(';') == std::string_view::npos) return std::nullopt;
  for (std::size_t at = ParameterEnd(header, 0); at < header.size();) {
    const std::size_t end = ParameterEnd(header, at + 1);
    const Parameter parameter = ReadParameter(header.substr(at + 1, end - at - 1));
    if (EqualsIgnoringCase(parameter.name, name)) return parameter;
    at = end;
  }
  return std::nullopt;
}

/// The name in the form that the SDKs write, for every part of every run; empty: look closer.
std::string_view PlainName(std::string_view disposition) {
  constexpr std::string_view kPrefix = "form-data; name=\"";
  if (!disposition.starts_with(kPrefix)) return {};
  const std::string_view rest = disposition.substr(kPrefix.size());
  const std::size_t quote = rest.find('"');
  return quote + 1 == rest.size() ? rest.substr(0, quote) : std::string_view();
}

/// The end of the line that begins at `from`: its CR LF, or npos.
std::size_t LineEnd(std::string_view text, std::size_t from) {
  const std::size_t feed = text.find('\n', from);
  const bool ended = feed != std::string_view::npos && feed > from && text[feed - 1] == '\r';
  return ended ? feed - 1 : std::string_view::npos;
}

std::optional<std::size_t> ParseLength(std::string_view text) {
  std::size_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace

absl::StatusOr<std::string> MultipartBoundary(std::string_view content_type) {
  const auto boundary = FindParameter(content_type, "boundary");
  if (!boundary || boundary->value.empty()) {
    return Unreadable("Content-Type: multipart/form-data without a boundary");
  }
  if (boundary->value.size() > kMaxBoundary) {
    return Unreadable("Content-Type: boundary longer than 200 characters");
  }
  return std::string(boundary->value);
}

std::string UnescapedName(std::string_view name) {
  std::string text;
  text.reserve(name.size());
  for (std::size_t i = 0; i < name.size(); ++i) {
    const bool pair =
        name[i] == '\\' && i + 1 < name.size() && (name[i + 1] == '\\' || name[i + 1] == '"');
    text += name[pair ? ++i : i];
  }
  return text;
}

std::string WithoutParameter(std::string_view media_type, std::string_view parameter) {
  std::size_t at = ParameterEnd(media_type, 0);
  std::string text(media_type.substr(0, at));
  while (at < media_type.size()) {
    const std::size_t end = ParameterEnd(media_type, at + 1);
    const Parameter read = ReadParameter(media_type.substr(at + 1, end - at - 1));
    if (!EqualsIgnoringCase(read.name, parameter)) text += media_type.substr(at, end - at);
    at = end;
  }
  return std::string(Trim(text));
}

MultipartReader::MultipartReader(std::string_view body, std::string_view boundary)
    : body_(body), delimiter_("\r\n--") {
  delimiter_.append(boundary);
}

bool MultipartReader::Fail(std::string_view what) {
  std::string message;
  if (parts_ > 0) {
    message = "part " + std::to_string(parts_);
    if (!part_name_.empty()) message.append(" '").append(part_name_).append("'");
    message += ": ";
  }
  message += what;
  status_ = Unreadable(message);
  done_ = true;
  return false;
}

bool MultipartReader::Begin() {
  begun_ = true;
  const std::string_view first = std::string_view(delimiter_).substr(2);
  if (body_.substr(0, first.size()) == first) {
    next_ = first.size();
  } else {
    const std::size_t at = Find(body_, delimiter_, 0);
    if (at == std::string_view::npos) return Fail("the body does not contain its boundary");
    next_ = at + delimiter_.size();
  }
  return ReadDelimiterEnd();
}

/// What follows the boundary itself: blanks and CR LF before a part, `--` after the last.
bool MultipartReader::ReadDelimiterEnd() {
  if (body_.substr(next_, 2) == "--") {
    done_ = true;
    return true;
  }
  while (next_ < body_.size() && (body_[next_] == ' ' || body_[next_] == '\t')) ++next_;
  if (body_.substr(next_, 2) != "\r\n") return Fail("the body ends without its final boundary");
  next_ += 2;
  return true;
}

bool MultipartReader::Next(FormPart* part) {
  if (done_ || (!begun_ && !Begin()) || done_) return false;
  if (++parts_ > kMaxParts) return Fail("more parts than a request may have");
  part_name_ = {};
  std::size_t declared = 0;
  bool is_declared = false;
  if (!ReadHeaders(part, &declared, &is_declared)) return false;
  if (!ReadContent(part, declared, is_declared)) return false;
  return ReadDelimiterEnd();
}

bool MultipartReader::ReadHeaders(FormPart* part, std::size_t* declared, bool* is_declared) {
  *part = FormPart{};
  bool has_name = false;
  const auto declare = [&](std::string_view text) {
    const auto length = ParseLength(text);
    if (!length) return Fail("its length is not a number");
    if (*is_declared && *length != *declared) return Fail("two different lengths are declared");
    *declared = *length;
    *is_declared = true;
    return true;
  };
  for (const std::size_t first = next_;;) {
    const std::size_t end = LineEnd(body_.substr(0, first + kMaxHeaderBytes), next_);
    if (end == std::string_view::npos) return Fail("its header does not end");
    const std::string_view line = body_.substr(next_, end - next_);
    next_ = end + 2;
    if (line.empty()) break;
    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos) return Fail("a line of its header has no colon");
    const std::string_view name = Trim(line.substr(0, colon));
    const std::string_view value = Trim(line.substr(colon + 1));
    if (EqualsIgnoringCase(name, "Content-Disposition")) {
      part->name = PlainName(value);
      if (part->name.empty()) {
        const auto field = FindParameter(value, "name");
        if (!field) return Fail("its Content-Disposition has no name");
        part->name = field->value;
      }
      part_name_ = part->name;
      has_name = true;
    } else if (EqualsIgnoringCase(name, "Content-Type")) {
      part->content_type = value;
      const auto length = FindParameter(value, "length");
      if (length && !declare(length->value)) return false;
    } else if (EqualsIgnoringCase(name, "Content-Length")) {
      if (!declare(value)) return false;
    }
  }
  return has_name || Fail("no Content-Disposition names it");
}

bool MultipartReader::ReadContent(FormPart* part, std::size_t declared, bool is_declared) {
  const std::size_t first = next_;
  std::size_t length = 0;
  if (is_declared) {
    if (declared > body_.size() - first) return Fail("the body ends inside it");
    if (body_.substr(first + declared, delimiter_.size()) != delimiter_) {
      return Fail("no boundary follows the " + std::to_string(declared) + " bytes it declares");
    }
    length = declared;
  } else {
    // An empty part may share its line end with the delimiter.
    const std::size_t end = Find(body_, delimiter_, first - 2);
    if (end == std::string_view::npos) return Fail("no boundary follows it");
    length = end < first ? 0 : end - first;
    next_ = end + delimiter_.size();
  }
  part->content = body_.substr(first, length);
  if (is_declared) next_ = first + length + delimiter_.size();
  return true;
}

}  // namespace weft::collector

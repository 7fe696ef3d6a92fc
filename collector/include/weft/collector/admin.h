// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <absl/status/statusor.h>

namespace weft::collector {

/// A request below `/admin`.
struct AdminRequest {
  std::string method;             ///< GET, POST or DELETE; HEAD comes as GET.
  std::vector<std::string> path;  ///< What follows the handler's own name.
  std::map<std::string, std::string> parameters;
  std::string body;
};

/// Answers with a JSON text. Errors become the HTTP status that fits: InvalidArgument 400, NotFound
/// 404, Unimplemented 405, others 503.
///
/// Threads: any; may block for a while.
using AdminHandler = std::function<absl::StatusOr<std::string>(const AdminRequest& request)>;

/// By the first segment behind `/admin/`.
///
///     handlers["parked"] = [&](const AdminRequest& request) { return parked.Answer(request); };
using AdminHandlers = std::map<std::string, AdminHandler, std::less<>>;

}  // namespace weft::collector

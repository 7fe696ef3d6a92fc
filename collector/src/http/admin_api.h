// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include <weft/collector/admin.h>

#include "http/message.h"
#include "http/target.h"

namespace weft::collector {

/// What is below `/admin`: finds the handler and answers in its name.
/// RequestGuard has let the caller in.
///
/// Threads: any.
class AdminApi {
 public:
  explicit AdminApi(const AdminHandlers& handlers) : handlers_(handlers) {}

  HttpReply Answer(const HttpRequest& request, const Target& target, const std::string& body) const;

 private:
  const AdminHandlers& handlers_;
};

}  // namespace weft::collector

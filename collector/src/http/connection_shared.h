// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <utility>

#include <boost/asio/io_context.hpp>
#include <boost/asio/thread_pool.hpp>

#include "http/guard.h"
#include "http/langsmith_api.h"
#include "tls.h"

namespace weft::collector {

namespace asio = boost::asio;

/// What all connections of a server share.
struct ConnectionShared {
  HttpServerOptions options;
  HttpServices services;
  HttpStats stats;
  RequestGuard guard;
  LangSmithApi api;
  std::atomic<bool> stopping{false};
  asio::io_context io;
  asio::thread_pool readers{2};

  ConnectionShared(HttpServerOptions o, HttpServices s)
      : options(std::move(o)),
        services(std::move(s)),
        guard(options.allowed_hosts, services, options.tls != nullptr),
        api(options, services, stats),
        io(options.threads) {}
  virtual ~ConnectionShared() = default;

  virtual void Forget(class Connection* connection) = 0;

  /// Takes a share of what all bodies may hold together; false when it is used up.
  bool Reserve(std::uint64_t bytes) {
    if (stats.inflight_bytes.fetch_add(bytes) + bytes <= options.max_inflight_bytes) return true;
    stats.inflight_bytes -= bytes;
    return false;
  }
};

}  // namespace weft::collector

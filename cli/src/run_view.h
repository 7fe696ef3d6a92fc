// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <absl/status/statusor.h>
#include <boost/json/value.hpp>

namespace weft::cli {

/// What the commands show of a run; absent text fields are empty.
struct RunView {
  std::string id;
  std::string trace_id;
  std::string parent_id;
  std::string dotted_order;
  std::string name;
  std::string run_type;
  std::string project;
  std::string status;
  std::string error;
  std::optional<std::int64_t> start_us;  ///< Since 1970.
  std::optional<std::int64_t> end_us;
  std::optional<std::int64_t> input_tokens;
  std::optional<std::int64_t> output_tokens;
  std::optional<double> cost;  ///< US dollars.

  // From extra.metadata.
  std::string user;
  std::string workflow;
  std::string thread;
  std::string model;
  std::string service;
  std::string process_id;
  std::string otel_kind;  ///< `CLIENT`, `SERVER`: a side of an RPC.
  std::string rpc_system;
  std::string rpc_service;
  std::string rpc_method;
  std::string rpc_kind;    ///< `unary`, `bidi_stream` ...
  std::string server_api;  ///< `sync`, `callback` ...
  /// Of a root that lost its parent (`weft_context_lost`): what was handled, and where it started.
  std::string lost_method;
  std::string lost_source;

  bool IsRpc() const { return !otel_kind.empty() && !rpc_method.empty(); }
  bool IsServer() const { return IsRpc() && otel_kind == "SERVER"; }
  bool IsClient() const { return IsRpc() && otel_kind == "CLIENT"; }
  std::optional<std::int64_t> DurationUs() const;
};

/// Reads a run in the read shape. Fields of another type than expected count as absent.
/// Errors: InvalidArgument for what is no object with an `id`.
absl::StatusOr<RunView> ReadRun(const boost::json::value& json);

}  // namespace weft::cli

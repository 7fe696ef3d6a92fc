// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <string>

#include <grpcpp/server_builder.h>

#include <weft/tracing/trace_headers.h>
#include <weft/tracing/tracer.h>

// What docs/tracing.md shows in C++, callable so that a test sees it work.
namespace langsmith_users {

using Send = std::function<std::string(const std::string&, const weft::TraceHeaders&)>;

std::string Plan(const std::string& question);
std::string Ask(const Send& send, const std::string& question);
absl::Status Serve(grpc::ServerBuilder& builder, const std::shared_ptr<weft::Tracer>& tracer);
std::string AnswerBelow(const weft::TraceHeaders& headers, const std::string& question);
std::string AnswerOnceBelow(const weft::TraceHeaders& headers, const std::string& question);
/// Makes the run `rerank`, and answers below it.
std::string Continue(const weft::TraceHeaders& headers, const std::string& question);

}  // namespace langsmith_users

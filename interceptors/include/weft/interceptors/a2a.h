// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <weft/interceptors/selector.h>
#include <weft/interceptors/tracing_middleware.h>

namespace weft {
inline namespace v0 {

/// `options` for agents that speak the A2A protocol over gRPC, its versions 0.3 (`a2a.v1`) and 1.0
/// (`lf.a2a.v1`). Other methods are traced as `options` says.
///
///     weft::InterceptServer(builder, {.tracer = tracer, .tracing = weft::A2aTracing()});
///     auto channel = weft::CreateChannel(agent, credentials,
///                                        {.tracer = tracer, .tracing = weft::A2aTracing()});
///
/// Runs are called `A2A SendMessage` and so on. Those of messages, and of streams about a task, are
/// of type `chain`, the rest of type `tool`. Their metadata says what the messages say:
///
/// | key | is |
/// |---|---|
/// | `thread_id` | the context id, by which LangSmith groups traces; the server's runs below have
/// it too | | `a2a.task_id` | the task, once it has an id | | `a2a.task_state` | its latest state,
/// `TASK_STATE_COMPLETED` ... | | `a2a.message_id` | the message that the client sent |
///
/// A thread that the caller's runs are in already stays theirs.
///
/// Messages are read by reflection, as objects of the classes that the program was built with; in a
/// program without any of the A2A protocol's only names and types are set.
TracingOptions A2aTracing(TracingOptions options = {});

/// The methods of the A2A protocol.
Selector A2aCalls();

}  // namespace v0
}  // namespace weft

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "rpc_benchmark.grpc.pb.h"

namespace bench {

std::string Address(int port);
std::unique_ptr<Echo::Stub> StubFor(int port);

/// Serves until the process is killed, with one thread for calls where it has the choice. Tells its
/// port once it listens.
///
///   bare            a loop over the queue, and a state machine for each call: no fibers
///   callback        gRPC's callback interface
///   fiber           a FiberServer
///   fiber-unwatched the same, whose handlers may not ask for cancellation
///   fan-out-bare, fan-out-bare-watched, fan-out-callback, fan-out-fiber, fan-out-fiber-unwatched
///                   the same, calling the backend twice at once for each call; in one fiber, which
///                   starts both calls and then waits
///   fan-out-child, fan-out-child-unwatched
///                   with a fiber of its own for one of the two calls
///   waiting         a FiberServer whose handlers wait and never answer
///
/// False: there is no server of that name.
bool Serve(const std::string& name, int backend_port, const std::function<void(int port)>& tell);

}  // namespace bench

// SPDX-License-Identifier: Apache-2.0
#include <weft/async/cq_scheduler.h>

#include <thread>

#include <boost/fiber/algo/algorithm.hpp>

#include <weft/context/inheriting.h>

#include "cq_algorithm.h"
#include "server_shutdown.h"

namespace weft {
inline namespace v0 {
namespace {

constinit thread_local CqScheduler* this_threads_scheduler = nullptr;

internal::CqAlgorithm* Install(grpc::CompletionQueue* queue, CqScheduler::Fibers fibers) {
  using internal::CqAlgorithm;
  boost::fibers::algo::algorithm* installed = nullptr;
  CqAlgorithm* algorithm = nullptr;
  if (fibers == CqScheduler::Fibers::kInheriting) {
    auto* const inheriting = new Inheriting<CqAlgorithm>(queue);
    algorithm = &inheriting->algorithm();
    installed = inheriting;
  } else {
    installed = algorithm = new CqAlgorithm(queue);
  }
  intrusive_ptr_add_ref(algorithm);
  boost::fibers::context::active()->get_scheduler()->set_algo(installed);
  return algorithm;
}

}  // namespace

CqScheduler::CqScheduler(grpc::CompletionQueue* queue, Fibers fibers)
    : queue_(queue), algorithm_(Install(queue, fibers)) {
  this_threads_scheduler = this;
}

CqScheduler::~CqScheduler() {
  this_threads_scheduler = nullptr;
  algorithm_->Close();
  intrusive_ptr_release(algorithm_);
}

// Never inlined: other fibers may move to other threads between two calls.
[[gnu::noinline]] CqScheduler* CqScheduler::Current() noexcept {
  asm volatile("");
  return this_threads_scheduler;
}

void ShutdownServer(grpc::Server& server, std::chrono::system_clock::time_point deadline) {
  internal::ServerShutdown shutdown(server);  // here, where no fiber of the thread asks for a call
  FiberOperation finished;
  const std::jthread thread([&] {
    shutdown.Finish(deadline);
    finished.Complete(true);
  });
  finished.Await();
}

}  // namespace v0
}  // namespace weft

// SPDX-License-Identifier: Apache-2.0
#include <weft/async/cq_scheduler.h>

#include "cq_algorithm.h"

namespace weft {
inline namespace v0 {

CqScheduler::CqScheduler(grpc::CompletionQueue* queue)
    : queue_(queue), algorithm_(new internal::CqAlgorithm(queue)) {
  intrusive_ptr_add_ref(algorithm_);
  boost::fibers::context::active()->get_scheduler()->set_algo(algorithm_);
}

CqScheduler::~CqScheduler() {
  algorithm_->Close();
  intrusive_ptr_release(algorithm_);
}

}  // namespace v0
}  // namespace weft

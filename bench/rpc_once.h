// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "rpc_setup.h"

namespace bench {

/// One thread is client and server, in process; a synchronous or callback server has gRPC's
/// threads. Makes one call, or one stream with a hundred messages each way, and waits for its end.
class OneThread {
 public:
  explicit OneThread(const Instruments& instruments);
  ~OneThread();

  void Call();

 private:
  class Harness;
  std::unique_ptr<Harness> harness_;
};

}  // namespace bench

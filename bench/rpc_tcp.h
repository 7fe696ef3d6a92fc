// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>

#include "rpc_setup.h"

namespace bench {

/// A client and a server with a completion queue each, over TCP, both in this process.
class TcpPair {
 public:
  explicit TcpPair(const Instruments& instruments);
  ~TcpPair();

  /// Makes `count` calls, 64 outstanding.
  void Run(int count);

 private:
  class Server;
  class Client;
  std::unique_ptr<Server> server_;
  std::unique_ptr<Client> client_;
};

}  // namespace bench

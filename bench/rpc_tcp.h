// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>

#include "rpc_setup.h"

namespace bench {

/// A client with a completion queue and a server with one, or with callbacks, over TCP; both in
/// this process.
class TcpPair {
 public:
  explicit TcpPair(const Instruments& instruments);
  ~TcpPair();

  /// Makes `count` calls, 64 outstanding.
  void Run(int count);

 private:
  class Server;
  class QueueServer;
  class CallbackServer;
  class Client;
  static std::unique_ptr<Server> MakeServer(const Instruments& instruments);

  std::unique_ptr<Server> server_;
  std::unique_ptr<Client> client_;
};

}  // namespace bench

#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "tests/support/process.h"

namespace feedvault::bench {

/// Debian's nginx with its echo module, as one process that sends these texts to everybody who asks
/// for /live, out of its configuration, one every `pause`, each as a chunk of its own.
class Nginx {
 public:
  /// `root`: where the packages were unpacked. Throws std::runtime_error when it does not start.
  Nginx(const std::string& root,
        const std::vector<std::string>& texts,
        std::chrono::milliseconds pause);

  std::uint16_t port() const { return port_; }
  int pid() const { return process_->pid(); }

 private:
  testing::TempDir folder_;
  std::uint16_t port_;
  std::unique_ptr<testing::Process> process_;
};

}  // namespace feedvault::bench

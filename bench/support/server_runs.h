#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace feedvault::bench {

/// A server to be measured: ours, or the one it stands beside.
struct Program {
  std::string name;  // "ours", "reference"
  std::string path;
  std::vector<std::string> more;  // arguments behind address and port
};

/// Starts a fresh server on a free port of loopback, so that no run inherits another one's heap,
/// and stops it behind `visit`. Throws std::runtime_error when it does not accept connections.
void with_server(const Program& program,
                 const std::function<void(std::uint16_t port, int pid)>& visit);

/// The upper one of the two in the middle; 0 when there are none.
double median(std::vector<double> values);

/// "1:1 16 B" as "1_1_16_b".
std::string identifier(const std::string& name);

}  // namespace feedvault::bench

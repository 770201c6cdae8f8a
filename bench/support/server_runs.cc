#include "bench/support/server_runs.h"

#include <algorithm>
#include <cctype>
#include <stdexcept>

#include "tests/support/process.h"

namespace feedvault::bench {

void with_server(const Program& program,
                 const std::function<void(std::uint16_t port, int pid)>& visit) {
  const std::uint16_t port = testing::free_port();
  std::vector<std::string> command = {program.path, "-a", "127.0.0.1", "-p", std::to_string(port)};
  command.insert(command.end(), program.more.begin(), program.more.end());
  testing::Process server({command, {}, "/dev/null", ""});
  if (!testing::eventually([&] { return testing::accepts_connections(port); })) {
    throw std::runtime_error(program.path + " did not start");
  }
  visit(port, server.pid());
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values.empty() ? 0 : values[values.size() / 2];
}

std::string identifier(const std::string& name) {
  std::string made;
  for (const char c : name) {
    if (std::isalnum(static_cast<unsigned char>(c)) != 0) {
      made += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    } else if (!made.empty() && made.back() != '_') {
      made += '_';
    }
  }
  return made;
}

}  // namespace feedvault::bench

// A whole installation for a test that is not C++: reads one command a line, in JSON, from its
// standard input, answers each with a line, and ends with its input.
//
//   {"do":"gateway","environment":{...}}      starts one; {"port":...}
//   {"do":"kill gateway"}, {"do":"start gateway"}   the first one
//   {"do":"controller","environment":{...}}   starts it, again if need be, until it is ready
//   {"do":"demo","rate":20}                   demo producers of both feeds; 0: none
//   {"do":"publish","feed":"executions","data":"hex"}   in the catalogue on return
//   {"do":"last","feed":"executions"}         {"seq":...}, the newest in the table

#include <iostream>
#include <vector>

#include <nlohmann/json.hpp>

#include "tests/integration/gateway/gateway_process.h"

namespace feedvault::testing {
namespace {

using nlohmann::json;

std::string from_hex(const std::string& hex) {
  std::string bytes;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
    bytes.push_back(static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16)));
  }
  return bytes;
}

/// The installation and what can be done with it. Throws what went wrong.
class Driver {
 public:
  json obey(const json& command) {
    const std::string what = command.at("do");
    const Environment environment = command.value("environment", Environment{});
    if (what == "gateway") {
      gateways_.push_back(std::make_unique<GatewayProcess>(installation_, environment));
      if (!gateways_.back()->wait_until_ready()) {
        throw std::runtime_error("the gateway does not get ready:\n" + gateways_.back()->log());
      }
      return {{"port", gateways_.back()->port()}};
    }
    if (what == "kill gateway") {
      gateways_.front()->kill_hard();
    } else if (what == "start gateway") {
      gateways_.front()->start();
    } else if (what == "controller") {
      installation_.start_ready("a", environment);
    } else if (what == "demo") {
      demo(command.at("rate"));
    } else if (what == "publish") {
      const std::string payload = from_hex(command.at("data"));
      FeedUnderTest& target = feed(command);
      const std::uint64_t stream_seq = target.producer.publish(payload);
      if (!eventually(
              [&] { return target.checker.summary().state.ingest.stream_seq >= stream_seq; })) {
        throw std::runtime_error("the controller does not take what was published");
      }
    } else if (what == "last") {
      const int number = command.at("feed") == "events" ? 1 : 2;
      return {{"seq",
               std::stoll(
                   installation_.value("SELECT COALESCE(MAX(seq), 0) FROM Messages WHERE feed = " +
                                       std::to_string(number)))}};
    } else {
      throw std::runtime_error("unknown: " + what);
    }
    return json::object();
  }

 private:
  FeedUnderTest& feed(const json& command) {
    return command.at("feed") == "events" ? installation_.events() : installation_.executions();
  }

  void demo(int rate) {
    demo_.reset();
    if (rate > 0) {
      demo_ = std::make_unique<Process>(
          Process::Options{.command = {built_program("feedvault-feeds"),
                                       "--config",
                                       installation_.config_file(),
                                       "--feed",
                                       "all",
                                       "--rate",
                                       std::to_string(rate),
                                       "--seed",
                                       "1"},
                           .environment = {},
                           .output_file = installation_.folder() + "/feeds.log",
                           .working_folder = {}});
    }
  }

  Installation installation_;
  std::vector<std::unique_ptr<GatewayProcess>> gateways_;
  std::unique_ptr<Process> demo_;
};

int serve() {
  Driver driver;
  for (std::string line; std::getline(std::cin, line);) {
    json answer;
    try {
      answer = driver.obey(json::parse(line));
    } catch (const std::exception& failure) {
      answer = {{"error", failure.what()}};
    }
    std::cout << answer.dump(-1, ' ', false, json::error_handler_t::replace) << std::endl;
  }
  return 0;
}

}  // namespace
}  // namespace feedvault::testing

int main() {
  try {
    return feedvault::testing::serve();
  } catch (const std::exception& failure) {
    std::cerr << failure.what() << "\n";
    return 1;
  }
}

#include "cli/signal_watch.h"

#include <csignal>
#include <ctime>
#include <utility>

namespace feedvault::cli {

SignalWatch::SignalWatch(std::function<void()> on_signal)
    : on_signal_(std::move(on_signal)), thread_([this] { watch(); }) {}

SignalWatch::~SignalWatch() {
  done_ = true;
  thread_.join();
}

void SignalWatch::watch() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  const timespec look{.tv_sec = 0, .tv_nsec = 50'000'000};
  while (!done_) {
    if (sigtimedwait(&signals, nullptr, &look) > 0) {
      on_signal_();
      return;
    }
  }
}

}  // namespace feedvault::cli

#include "feeds/ack_window.h"

#include <utility>

namespace feedvault {

std::uint64_t AckWindow::add(InFlight message) {
  MutexLock lock(mutex_);
  slots_.push_back({std::move(message), false});
  return first_token_ + slots_.size() - 1;
}

void AckWindow::acknowledge(std::uint64_t token, bool duplicate) {
  MutexLock lock(mutex_);
  if (token < first_token_ || token - first_token_ >= slots_.size() ||
      slots_[token - first_token_].settled) {
    return;
  }
  slots_[token - first_token_].settled = true;
  ++acknowledged_;
  duplicates_ += duplicate ? 1 : 0;
  const bool was_full = slots_.size() >= messages_max_;
  while (!slots_.empty() && slots_.front().settled) {
    slots_.pop_front();
    ++first_token_;
  }
  if (was_full || slots_.empty()) {
    changed_.notify_all();
  }
}

void AckWindow::fail(std::string reason) {
  MutexLock lock(mutex_);
  failed_ = true;
  reason_ = std::move(reason);
  changed_.notify_all();
}

AckWindow::Outcome AckWindow::wait(Wait what, std::chrono::steady_clock::time_point deadline) {
  MutexLock lock(mutex_);
  for (;;) {
    if (failed_) {
      return Outcome::kRepeat;
    }
    if (what == Wait::kRoom ? slots_.size() < messages_max_ : slots_.empty()) {
      return Outcome::kReady;
    }
    if (!changed_.wait_until(mutex_, deadline)) {
      return Outcome::kTimeout;
    }
  }
}

bool AckWindow::wait_until_empty(std::chrono::steady_clock::time_point deadline) {
  MutexLock lock(mutex_);
  while (!slots_.empty()) {
    if (!changed_.wait_until(mutex_, deadline)) {
      return false;
    }
  }
  return true;
}

std::vector<AckWindow::Open> AckWindow::take_open(std::string& reason) {
  MutexLock lock(mutex_);
  failed_ = false;
  reason = std::exchange(reason_, {});
  std::vector<Open> open;
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    if (!slots_[i].settled) {
      open.push_back({first_token_ + i, slots_[i].message});
    }
  }
  return open;
}

std::uint64_t AckWindow::acknowledged() const {
  MutexLock lock(mutex_);
  return acknowledged_;
}

std::uint64_t AckWindow::duplicates() const {
  MutexLock lock(mutex_);
  return duplicates_;
}

}  // namespace feedvault

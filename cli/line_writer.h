#pragma once

#include <string>

#include "base/mutex.h"

namespace feedvault::cli {

/// Hands lines from the thread that makes them to the one that writes them to a descriptor. Lines
/// that come while a write runs go out together with the next: one system call a burst, no waiting
/// for a buffer to fill. Holds at most about a megabyte; then add() waits.
class LineWriter {
 public:
  explicit LineWriter(int fd) : fd_(fd) {}
  ~LineWriter() = default;
  LineWriter(const LineWriter&) = delete;
  LineWriter& operator=(const LineWriter&) = delete;

  /// False when nothing more can be written or finish() was called.
  bool add(const std::string& line);

  /// No more lines; run() returns when all is written. Any thread.
  void finish();

  /// Writes until finish(): 0, or errno when the descriptor takes no more.
  int run();

 private:
  int write_all(const std::string& text) const;

  const int fd_;
  Mutex mutex_;
  CondVar changed_;
  std::string lines_ GUARDED_BY(mutex_);
  bool finished_ GUARDED_BY(mutex_) = false;
  bool broken_ GUARDED_BY(mutex_) = false;
};

}  // namespace feedvault::cli

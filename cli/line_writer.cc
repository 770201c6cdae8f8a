#include "cli/line_writer.h"

#include <unistd.h>

#include <cerrno>

namespace feedvault::cli {
namespace {
constexpr std::size_t kHeldBytesMax = 1U << 20U;
}

bool LineWriter::add(const std::string& line) {
  {
    MutexLock lock(mutex_);
    while (lines_.size() > kHeldBytesMax && !finished_ && !broken_) {
      changed_.wait(mutex_);
    }
    if (finished_ || broken_) {
      return false;
    }
    lines_ += line;
  }
  changed_.notify_all();
  return true;
}

void LineWriter::finish() {
  {
    MutexLock lock(mutex_);
    finished_ = true;
  }
  changed_.notify_all();
}

int LineWriter::run() {
  std::string batch;
  for (;;) {
    batch.clear();
    {
      MutexLock lock(mutex_);
      while (lines_.empty() && !finished_) {
        changed_.wait(mutex_);
      }
      if (lines_.empty()) {
        return 0;
      }
      batch.swap(lines_);
    }
    changed_.notify_all();
    if (const int error = write_all(batch); error != 0) {
      {
        MutexLock lock(mutex_);
        broken_ = true;
      }
      changed_.notify_all();
      return error;
    }
  }
}

int LineWriter::write_all(const std::string& text) const {
  std::size_t done = 0;
  while (done < text.size()) {
    const ssize_t wrote = ::write(fd_, text.data() + done, text.size() - done);
    if (wrote < 0 && errno == EINTR) {
      continue;
    }
    if (wrote < 0) {
      return errno;
    }
    done += static_cast<std::size_t>(wrote);
  }
  return 0;
}

}  // namespace feedvault::cli

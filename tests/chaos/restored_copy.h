#pragma once

#include <filesystem>
#include <string>

#include "tests/support/installation.h"

namespace feedvault::testing {

/// A stream as it is now, to be put back later: what a broker holds after an operating system crash
/// took its unsynced tail, or an operator restored a backup. Restarts the broker.
class StreamCopy {
 public:
  StreamCopy(Installation& installation, const std::string& stream)
      : installation_(installation),
        stream_(installation.broker().stream_folder(stream)),
        copy_(installation.folder() + "/copy-of-" + stream) {
    installation_.broker().stop();
    std::filesystem::copy(stream_, copy_, std::filesystem::copy_options::recursive);
    installation_.broker().start();
  }

  void put_back() {
    installation_.broker().stop();
    std::filesystem::remove_all(stream_);
    std::filesystem::copy(copy_, stream_, std::filesystem::copy_options::recursive);
    installation_.broker().start();
  }

 private:
  Installation& installation_;
  std::string stream_;
  std::string copy_;
};

/// The same for the database, the whole of it: a backup that was restored, or a replica that took
/// over before it had everything. Restarts the database.
class DatabaseCopy {
 public:
  explicit DatabaseCopy(Installation& installation)
      : installation_(installation), copy_(installation.folder() + "/copy-of-database") {
    installation_.database().stop();
    copy(installation_.database().data_folder(), copy_);
    installation_.database().start();
  }

  void put_back() {
    installation_.database().stop();
    std::filesystem::remove_all(installation_.database().data_folder());
    copy(copy_, installation_.database().data_folder());
    installation_.database().start();
  }

 private:
  static void copy(const std::string& from, const std::string& to) {
    const Finished copied = run({"cp", "-r", "--reflink=auto", "--sparse=always", from, to});
    if (copied.exit_code != 0) {
      throw std::runtime_error(copied.output);
    }
  }

  Installation& installation_;
  std::string copy_;
};

}  // namespace feedvault::testing

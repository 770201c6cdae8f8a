#include "cli/doctor.h"

#include <sys/stat.h>

#include <gtest/gtest.h>

#include "base/file.h"
#include "tests/support/process.h"

namespace feedvault::cli {
namespace {

constexpr std::int64_t kNow = 1'800'000'000'000'000;
constexpr std::int64_t kSecond = 1'000'000;

/// "ok: text" of every finding of that check, a line each.
std::string found(const Config& config, const std::string& check) {
  Findings findings;
  examine_configuration(config, findings);
  std::string text;
  for (const Finding& finding : findings.all()) {
    if (finding.check == check) {
      text += (finding.grade == Grade::kOk     ? "ok: "
               : finding.grade == Grade::kWarn ? "warn: "
                                               : "fail: ") +
              finding.text + "\n";
    }
  }
  return text;
}

TEST(ExamineConfiguration, WarnsOfSecretsInAFileThatEverybodyMayRead) {
  const testing::TempDir folder;
  Config config;
  config.path = folder.file("config.toml");
  ASSERT_TRUE(replace_file(config.path, "").ok());
  ASSERT_EQ(::chmod(config.path.c_str(), 0644), 0);
  config.mysql.password = "secret";  // of the environment
  EXPECT_EQ(found(config, "configuration").find("warn"), std::string::npos);
  config.secrets_in_file = {"[mysql] password", "[http] tokens"};
  EXPECT_NE(found(config, "configuration").find("which has [mysql] password, [http] tokens\n"),
            std::string::npos)
      << found(config, "configuration");
  ASSERT_EQ(::chmod(config.path.c_str(), 0640), 0);
  EXPECT_EQ(found(config, "configuration").find("warn"), std::string::npos);
}

TEST(ExaminePorts, ComparesWhatIsOnThisMachine) {
  Config config;
  EXPECT_TRUE(
      found(config, "ports").starts_with("ok: broker 4222, monitoring 8222, database 3306"));
  config.http.port = config.controller.port;
  EXPECT_EQ(found(config, "ports"), "fail: gateway and controller are both to have port 8081\n");
  // Wherever broker and database are.
  config.nats.servers = {"nats://n1:8081", "nats://n2:8081"};
  config.mysql.socket = "/run/mysqld.sock";
  config.mysql.port = 8081;
  EXPECT_EQ(found(config, "ports"), "fail: gateway and controller are both to have port 8081\n");
  // Each on an address of its own.
  config.http.bind = "192.0.2.1";
  EXPECT_EQ(found(config, "ports"), "ok: gateway 8081, controller 8081\n");
  config.controller.bind = "0.0.0.0";
  EXPECT_EQ(found(config, "ports"), "fail: gateway and controller are both to have port 8081\n");
  config.controller.port = 4222;
  config.nats = NatsConfig();
  EXPECT_EQ(found(config, "ports"), "fail: broker and controller are both to have port 4222\n");
}

TEST(JudgeClock, WhatTheRoundTripLeavesOpenIsNoDifference) {
  const Finding same = judge_clock("broker", kNow + 3 * kSecond, kNow, kNow + 5 * kSecond);
  EXPECT_EQ(same.grade, Grade::kOk);
  EXPECT_NE(same.text.find("as this host's"), std::string::npos) << same.text;
  EXPECT_EQ(judge_clock("broker", kNow - kSecond / 2, kNow, kNow).grade, Grade::kOk);
}

TEST(JudgeClock, TellsWhichWayAndHowMuch) {
  const Finding ahead = judge_clock("broker", kNow + 12 * kSecond, kNow, kNow + 2 * kSecond);
  EXPECT_EQ(ahead.grade, Grade::kWarn);
  EXPECT_NE(ahead.text.find("the broker's is 10.000 s ahead of"), std::string::npos) << ahead.text;
  EXPECT_NE(ahead.remedy.find("synchronise"), std::string::npos);
  const Finding behind = judge_clock("database", kNow - 100 * kSecond, kNow, kNow + kSecond);
  EXPECT_EQ(behind.grade, Grade::kFail);
  EXPECT_NE(behind.text.find("100.000 s behind"), std::string::npos) << behind.text;
}

TEST(JudgeDisk, WarnsBeforeItIsFull) {
  constexpr std::uint64_t kGiB = 1ULL << 30U;
  EXPECT_EQ(judge_disk("streams", "/data", 50 * kGiB, 100 * kGiB).grade, Grade::kOk);
  EXPECT_EQ(judge_disk("streams", "/data", 4 * kGiB, 100 * kGiB).grade, Grade::kWarn);
  EXPECT_EQ(judge_disk("streams", "/data", kGiB / 2, 2 * kGiB).grade, Grade::kWarn);
  EXPECT_EQ(judge_disk("streams", "/data", kGiB / 100, kGiB).grade, Grade::kFail);
}

}  // namespace
}  // namespace feedvault::cli

#include "base/failpoint.h"

#include <csignal>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "tests/support/process.h"

namespace feedvault {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;

#ifdef FEEDVAULT_FAILPOINTS

testing::Finished run_child(const std::string& failpoint) {
  return testing::run({testing::built_program("failpoint_child")},
                      {{"FEEDVAULT_FAILPOINT", failpoint}});
}

TEST(Failpoint, UnarmedIsNothing) {
  EXPECT_EQ(run_child("").exit_code, 0);
  EXPECT_EQ(run_child("elsewhere=kill").exit_code, 0);
}

TEST(Failpoint, KillsAtTheFirstPass) {
  const auto finished = run_child("here=kill");
  EXPECT_EQ(finished.exit_code, 128 + SIGKILL);
  EXPECT_EQ(finished.output, "failpoint here: raising signal 9\n");
}

TEST(Failpoint, KillsAtTheNamedPass) {
  const auto finished = run_child("here=kill@3");
  EXPECT_EQ(finished.exit_code, 128 + SIGKILL);
  EXPECT_EQ(finished.output, "here 1\nhere 2\nfailpoint here: raising signal 9\n");
}

TEST(Failpoint, IsNotReachedBeyondItsPasses) {
  EXPECT_EQ(run_child("here=kill@6").exit_code, 0);
}

TEST(Failpoint, SeveralAreIndependent) {
  const auto finished = run_child("here=kill@6,there=kill");
  EXPECT_EQ(finished.exit_code, 128 + SIGKILL);
  EXPECT_THAT(finished.output, EndsWith("here 5\nfailpoint there: raising signal 9\n"));
}

TEST(Failpoint, StopsAndGoesOn) {
  const testing::TempDir folder;
  testing::Process child({.command = {testing::built_program("failpoint_child")},
                          .environment = {{"FEEDVAULT_FAILPOINT", "here=stop@2"}},
                          .output_file = folder.file("output"),
                          .working_folder = {}});
  const std::string stat = "/proc/" + std::to_string(child.pid()) + "/stat";
  ASSERT_TRUE(testing::eventually([&] {
    const auto text = read_file(stat);
    return text.has_value() && text->find(") T ") != std::string::npos;
  }));
  EXPECT_EQ(child.output(), "here 1\nfailpoint here: raising signal 19\n");
  child.send_signal(SIGCONT);
  EXPECT_EQ(child.wait_for_exit(std::chrono::seconds(10)), 0);
  EXPECT_THAT(child.output(), HasSubstr("here 5"));
}

TEST(Failpoint, MisspeltOnesEndTheProgram) {
  for (const char* text : {"here=klil",
                           "here",
                           "here=kill@0",
                           "here=stop@0",
                           "here=kill@x",
                           "here=kill@2x",
                           "here=kill@"}) {
    const auto finished = run_child(text);
    EXPECT_EQ(finished.exit_code, 2) << text;
    EXPECT_THAT(finished.output, HasSubstr(std::string("cannot read '") + text)) << text;
  }
}

#else

TEST(Failpoint, IsCompiledOut) {
  const auto finished = testing::run({testing::built_program("failpoint_child")},
                                     {{"FEEDVAULT_FAILPOINT", "here=kill"}});
  EXPECT_EQ(finished.exit_code, 0);
}

#endif

}  // namespace
}  // namespace feedvault

// Both feeds under load while controllers, broker and database are killed and stopped at random.
// What this run does depends on one number, which it prints:
//
//   FEEDVAULT_CHAOS_SEED=7       repeats a run's decisions (their timing is the machine's)
//   FEEDVAULT_CHAOS_SECONDS=600  lasts so long; 20 when not given

#include <random>

#include <gtest/gtest.h>

#include "tests/chaos/load.h"
#include "tests/support/installation.h"

namespace feedvault::testing {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

/// The adversary: two controllers, of which at least one is always there again soon.
class Chaos {
 public:
  Chaos(Installation& installation, unsigned seed) : installation_(installation), random_(seed) {
    installation_.start_ready("a");
    installation_.start_ready("b");
  }

  void do_something() {
    std::this_thread::sleep_for(milliseconds(between(50, 600)));  // undisturbed for a while
    const std::string victim = between(0, 1) == 0 ? "a" : "b";
    ControllerProcess& controller = installation_.controller(victim);
    switch (between(0, 11)) {
      case 0:
      case 1:
      case 2:
        note("kill -9 controller " + victim);
        controller.kill_hard();
        installation_.start_controller(victim);
        break;
      case 3:
        note("crash controller " + victim + " at a failpoint");
        crash_at_random_point(victim);
        break;
      case 4:
        note("SIGTERM controller " + victim);
        // One that has just been started may not have got as far as listening to it.
        EXPECT_TRUE(eventually([&] { return controller.get("/livez").status == 200; }));
        EXPECT_EQ(controller.terminate(milliseconds(10'000)), 0) << controller.log();
        installation_.start_controller(victim);
        break;
      case 5:
      case 6:
        pause(controller, victim);
        break;
      case 7:
      case 8:
        note("kill -9 broker");
        installation_.broker().kill_hard();
        std::this_thread::sleep_for(milliseconds(between(0, 300)));
        installation_.broker().start();
        break;
      case 9:
      case 10:
        note("restart subscribers");
        installation_.events().subscriber.restart();
        installation_.executions().subscriber.restart();
        break;
      default:
        note("kill -9 database");
        installation_.database().kill_hard();
        std::this_thread::sleep_for(milliseconds(between(0, 300)));
        installation_.database().start();
        break;
    }
  }

  const std::string& story() const { return story_; }

 private:
  int between(int low, int high) { return std::uniform_int_distribution<int>(low, high)(random_); }

  void note(const std::string& what) { story_ += what + "\n"; }

  void crash_at_random_point(const std::string& victim) {
    static const std::vector<std::string> points = {"read.received",
                                                    "commit.begin",
                                                    "commit.inserted",
                                                    "commit.sent",
                                                    "commit.done",
                                                    "publish.before",
                                                    "publish.sent",
                                                    "publish.acked"};
    const std::string& point = points[static_cast<std::size_t>(between(0, 7))];
    // A standby does not pass it: no need to wait for that.
    installation_.start_controller(victim, crash_at(point, between(1, 100)))
        .wait_for_exit(milliseconds(between(200, 1500)));
    installation_.start_controller(victim);
  }

  // Mostly shorter than a take-over, now and then longer.
  void pause(ControllerProcess& controller, const std::string& victim) {
    const milliseconds length(between(0, 3) == 0 ? between(4500, 6000) : between(20, 800));
    note("SIGSTOP controller " + victim + " for " + std::to_string(length.count()) + " ms");
    controller.freeze();
    std::this_thread::sleep_for(length);
    controller.thaw();
  }

  Installation& installation_;
  std::mt19937 random_;
  std::string story_;
};

TEST(RandomKills, NothingIsLostOrDoubledOrReordered) {
  const unsigned seed = number_from_environment("FEEDVAULT_CHAOS_SEED", std::random_device{}());
  const unsigned run_s = number_from_environment("FEEDVAULT_CHAOS_SECONDS", 20);
  std::printf("FEEDVAULT_CHAOS_SEED=%u FEEDVAULT_CHAOS_SECONDS=%u\n", seed, run_s);
  std::fflush(stdout);

  Installation installation;
  Chaos chaos(installation, seed);
  {
    const Load load(installation, Load::Events::kUnsure);
    const auto end = steady_clock::now() + std::chrono::seconds(run_s);
    while (steady_clock::now() < end && !::testing::Test::HasFailure()) {
      chaos.do_something();
    }
  }
  ASSERT_TRUE(note_captured(installation.events())) << chaos.story();
  EXPECT_TRUE(installation.verify({.settle = std::chrono::seconds(40)})) << "seed " << seed << "\n"
                                                                         << chaos.story();
  EXPECT_EQ(installation.value("SELECT COUNT(*) FROM Quarantine"), "0") << chaos.story();
  EXPECT_EQ(installation.value("SELECT COUNT(*) FROM Gaps"), "0") << chaos.story();
  std::printf("%s%zu events, %zu executions\n",
              chaos.story().c_str(),
              installation.events().producer.sent_count(),
              installation.executions().producer.sent_count());
}

}  // namespace
}  // namespace feedvault::testing

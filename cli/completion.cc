#include "cli/completion.h"

namespace feedvault::cli {
namespace {

/// `text` as one word of any of the three shells.
std::string shell_word(const std::string& text) {
  std::string word = "'";
  for (const char c : text) {
    word += c == '\'' ? "'\\''" : std::string(1, c);
  }
  return word + "'";
}

/// In fish a quoted word knows \' and \\ only.
std::string fish_word(const std::string& text) {
  std::string word = "'";
  for (const char c : text) {
    word += c == '\'' || c == '\\' ? std::string("\\") + c : std::string(1, c);
  }
  return word + "'";
}

bool takes_feed(const CommandEntry& command) {
  for (const OptionEntry& option : command.options) {
    if (option.positional && option.value == kFeedType) {
      return true;
    }
  }
  return false;
}

const std::vector<std::string>* positional_choices(const CommandEntry& command) {
  for (const OptionEntry& option : command.options) {
    if (option.positional && !option.choices.empty()) {
      return &option.choices;
    }
  }
  return nullptr;
}

/// Patterns of a shell's `case`: the paths of all commands but the program itself.
std::string path_patterns(const CommandEntry& root) {
  std::string patterns;
  for (const CommandEntry* command : flatten(root)) {
    if (!command->path.empty()) {
      patterns += (patterns.empty() ? "" : " | ") + shell_word(command->path);
    }
  }
  return patterns;
}

std::string spaced(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) {
    text += (text.empty() ? "" : " ") + word;
  }
  return text;
}

/// Finds the command that is being completed: `command` becomes its path, `config` the arguments
/// that name the configuration, `program` who is asked for names of feeds. bash and zsh; `words` is
/// the line before the current word, as it was typed, and `first` its beginning. bash makes
/// "--config=x" three words.
std::string find_command(const CommandEntry& root,
                         const std::string& words,
                         const std::string& first) {
  return "  local command='' word='' previous='' program=" + first +
         "\n"
         "  [[ $program != '~/'* ]] || program=$HOME${program#'~'}\n"
         "  local -a config\n"
         "  config=()\n"
         "  for word in " +
         words +
         "; do\n"
         "    [[ $word != '=' ]] || continue\n"
         "    if [[ $word == --config=* ]]; then\n"
         "      config=(--config \"${word#--config=}\")\n"
         "    elif [[ $previous == --config ]]; then\n"
         "      [[ $word != '~/'* ]] || word=$HOME${word#'~'}\n"
         "      config=(--config \"$word\")\n"
         "    else\n"
         "      case \"$command $word\" in\n"
         "        " +
         path_patterns(root) +
         ") command+=\" $word\" ;;\n"
         "      esac\n"
         "    fi\n"
         "    previous=$word\n"
         "  done\n";
}

/// The statement that offers values, given as a shell's commands for each kind.
struct Offers {
  std::string feeds;
  std::string files;
  std::string (*choices)(const std::vector<std::string>&);
};

/// A `case` over "command option" for options that take a value; each branch ends the function.
std::string value_cases(const CommandEntry& root, const Offers& offers) {
  std::string text = "  case \"$command $previous\" in\n";
  for (const CommandEntry* command : flatten(root)) {
    for (const OptionEntry& option : command->options) {
      if (option.positional || option.value.empty()) {
        continue;
      }
      for (const std::string& name : option.names) {
        // Options of the program itself stand before the command only.
        text += "    " + shell_word(command->path + " " + name) + ") ";
        if (option.value == kFeedType) {
          text += offers.feeds + "; ";
        } else if (option.value == kFileType) {
          text += offers.files + "; ";
        } else if (!option.choices.empty()) {
          text += offers.choices(option.choices) + "; ";
        }
        text += "return ;;\n";
      }
    }
  }
  return text + "  esac\n";
}

std::string bash_choices(const std::vector<std::string>& choices) {
  return "mapfile -t COMPREPLY < <(compgen -W " + shell_word(spaced(choices)) + " -- \"$current\")";
}

std::string zsh_choices(const std::vector<std::string>& choices) {
  return "compadd -- " + spaced(choices);
}

/// "name:description" as _describe takes it.
std::string zsh_item(const std::string& name, const std::string& description) {
  std::string item;
  for (const char c : name) {
    item += c == ':' ? "\\:" : std::string(1, c);
  }
  return shell_word(item + ":" + description);
}

}  // namespace

std::string bash_completion(const CommandEntry& root) {
  const std::string function = "_" + root.name;
  const Offers offers = {
      "mapfile -t COMPREPLY < <(compgen -W \"$(\"$program\" \"${config[@]}\" complete feeds "
      "2>/dev/null)\" -- \"$current\")",
      "compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- \"$current\")",
      bash_choices};
  std::string text = "# bash completion for " + root.name + ", made by `" + root.name +
                     " completion bash`\n" + function +
                     "() {\n  local current=${COMP_WORDS[COMP_CWORD]} offers=''\n"
                     "  [[ $current != '=' ]] || current=''  # --feed=<TAB>\n" +
                     find_command(root, "\"${COMP_WORDS[@]:1:COMP_CWORD-1}\"", "${COMP_WORDS[0]}") +
                     value_cases(root, offers) + "  case $command in\n";
  for (const CommandEntry* command : flatten(root)) {
    std::vector<std::string> words;
    for (const CommandEntry& sub : command->commands) {
      words.push_back(sub.name);
    }
    if (const auto* choices = positional_choices(*command)) {
      words.insert(words.end(), choices->begin(), choices->end());
    }
    std::vector<std::string> names;
    for (const OptionEntry& option : command->options) {
      if (!option.positional) {
        names.insert(names.end(), option.names.begin(), option.names.end());
      }
    }
    text += "    " + shell_word(command->path) + ")\n      offers=" + shell_word(spaced(words)) +
            "\n      [[ $current != -* ]] || offers=" + shell_word(spaced(names)) + "\n";
    if (takes_feed(*command)) {
      text +=
          "      [[ $current == -* ]] ||\n"
          "        offers=$(\"$program\" \"${config[@]}\" complete feeds 2>/dev/null)\n";
    }
    text += "      ;;\n";
  }
  return text +
         "  esac\n"
         "  mapfile -t COMPREPLY < <(compgen -W \"$offers\" -- \"$current\")\n"
         "}\n"
         "complete -F " +
         function + " " + root.name + "\n";
}

std::string zsh_completion(const CommandEntry& root) {
  const std::string function = "_" + root.name;
  const std::string feeds =
      "compadd -- ${(f)\"$(\"$program\" \"${config[@]}\" complete feeds 2>/dev/null)\"}";
  std::string text = "#compdef " + root.name + "\n# made by `" + root.name + " completion zsh`\n" +
                     function + "() {\n" +
                     find_command(root, "\"${(@)words[2,CURRENT-1]}\"", "${words[1]}") +
                     value_cases(root, {feeds, "_files", zsh_choices}) +
                     "  local -a flags subcommands\n  flags=() subcommands=()\n"
                     "  case $command in\n";
  for (const CommandEntry* command : flatten(root)) {
    text += "    " + shell_word(command->path) + ")\n";
    for (const OptionEntry& option : command->options) {
      for (const std::string& name : option.names) {
        if (!option.positional) {
          text += "      flags+=(" + zsh_item(name, option.description) + ")\n";
        }
      }
    }
    for (const CommandEntry& sub : command->commands) {
      text += "      subcommands+=(" + zsh_item(sub.name, sub.description) + ")\n";
    }
    if (const auto* choices = positional_choices(*command)) {
      text += "      " + zsh_choices(*choices) + "\n";
    }
    if (takes_feed(*command)) {
      text += "      " + feeds + "\n";
    }
    text += "      ;;\n";
  }
  return text +
         "  esac\n"
         "  _describe -t commands command subcommands\n"
         "  _describe -o -t options option flags\n"
         "}\n"
         // Sourced, it registers itself; as a file in $fpath it is the function's body.
         "if [[ ${funcstack[1]-} == " +
         function + " ]]; then " + function + " \"$@\"; else compdef " + function + " " +
         root.name + "; fi\n";
}

std::string fish_completion(const CommandEntry& root) {
  const std::string at = "__" + root.name + "_at";
  const std::string feeds = "__" + root.name + "_feeds";
  std::string paths;
  for (const CommandEntry* command : flatten(root)) {
    if (!command->path.empty()) {
      paths += " " + fish_word(command->path);
    }
  }
  std::string text = "# fish completion for " + root.name + ", made by `" + root.name +
                     " completion fish`\n"
                     "function " +
                     at + " -d 'Is this the command that is being completed?'\n" +
                     "    set -l path ''\n"
                     "    for word in (commandline -opc)[2..-1]\n"
                     "        if contains -- \"$path $word\"" +
                     paths +
                     "\n"
                     "            set path \"$path $word\"\n"
                     "        end\n"
                     "    end\n"
                     "    test \"$path\" = \"$argv[1]\"\n"
                     "end\n"
                     "function " +
                     feeds +
                     " -d 'Names of the configured feeds'\n"
                     "    set -l line\n"
                     "    for word in (commandline -opc)\n"
                     "        string match -q -- '~/*' $word; and set word $HOME(string sub -s 2 "
                     "-- $word)\n"
                     "        set -a line $word\n"
                     "    end\n"
                     "    set -l config (string replace -f -- --config= '' $line)[-1]\n"
                     "    if set -l at (contains -i -- --config $line[1..-2])\n"
                     "        set config $line[(math $at + 1)]\n"
                     "    end\n"
                     "    set -q config[1]; and set config --config $config\n"
                     "    $line[1] $config complete feeds 2>/dev/null\n"
                     "end\n"
                     "complete -c " +
                     root.name + " -f\n";
  for (const CommandEntry* command : flatten(root)) {
    const std::string head =
        "complete -c " + root.name + " -n " + fish_word(at + " " + fish_word(command->path));
    for (const CommandEntry& sub : command->commands) {
      text += head + " -a " + fish_word(sub.name) + " -d " + fish_word(sub.description) + "\n";
    }
    for (const OptionEntry& option : command->options) {
      std::string line = head;
      for (const std::string& name : option.names) {
        if (!option.positional) {
          line += name.starts_with("--") ? " -l " + name.substr(2) : " -s " + name.substr(1);
        }
      }
      if (option.value == kFeedType) {
        line += (option.positional ? " -a " : " -x -a ") + fish_word("(" + feeds + ")");
      } else if (option.value == kFileType) {
        line += " -r -F";
      } else if (!option.choices.empty()) {
        line += (option.positional ? " -a " : " -x -a ") + fish_word(spaced(option.choices));
      } else if (option.positional) {
        continue;  // nothing to offer
      } else if (!option.value.empty()) {
        line += " -x";
      }
      text += line + " -d " + fish_word(option.description) + "\n";
    }
  }
  return text;
}

}  // namespace feedvault::cli

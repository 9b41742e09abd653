/* herdctl_words.h: what the words of a command may be. */
#ifndef TOOLS_HERDCTL_WORDS_H
#define TOOLS_HERDCTL_WORDS_H

enum word_kind { WORD_SERVER, WORD_CLIENT, WORD_LOCATION, WORD_TIME, WORD_RADIUS, WORD_COUNT };

/* As a usage line has it: "SERVER", …; static. */
const char *word_name(enum word_kind kind);

/* Whether `word` is one of its kind, by the rules of docs/protocol.md. 0, or the exit status after
 * saying on stderr what it should be. */
int word_check(enum word_kind kind, const char *word);

#endif

/* Runs a fuzz target on files and on all files of folders: what libFuzzer does with -runs=0, for
 * compilers that do not have it. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fuzz.h"

enum { INPUT_MAX_BYTES = 1 << 20 };

static int run_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    uint8_t *data = malloc(INPUT_MAX_BYTES);
    if (file == NULL || data == NULL) {
        perror(path);
        free(data);
        if (file != NULL)
            fclose(file);
        return -1;
    }
    size_t size = fread(data, 1, INPUT_MAX_BYTES, file);
    fclose(file);
    /* In memory of its own size, so that a sanitizer sees a byte read beyond it. */
    uint8_t *exact = realloc(data, size > 0 ? size : 1);
    LLVMFuzzerTestOneInput(exact != NULL ? exact : data, size);
    free(exact != NULL ? exact : data);
    return 1;
}

static int run_folder(const char *path)
{
    int count = 0;
    DIR *folder = opendir(path);
    if (folder == NULL) {
        perror(path);
        return -1;
    }
    const struct dirent *entry;
    while (count >= 0 && (entry = readdir(folder)) != NULL) {
        char name[4096];
        if (entry->d_name[0] == '.')
            continue;
        snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
        count = run_file(name) < 0 ? -1 : count + 1;
    }
    closedir(folder);
    return count;
}

int main(int argc, char **argv)
{
    int count = 0;
    for (int i = 1; i < argc; i++) {
        struct stat info;
        if (stat(argv[i], &info) < 0) {
            perror(argv[i]);
            return EXIT_FAILURE;
        }
        int ran = S_ISDIR(info.st_mode) ? run_folder(argv[i]) : run_file(argv[i]);
        if (ran < 0)
            return EXIT_FAILURE;
        count += ran;
    }
    printf("%d inputs\n", count);
    return count > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

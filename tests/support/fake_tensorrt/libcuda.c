/* A stand-in for NVIDIA's driver: one Orin, or what FAKE_CUDA says is wrong (`none`, `broken`). */
#include <stdlib.h>
#include <string.h>

static const char *odd(void) { const char *found = getenv("FAKE_CUDA"); return found ? found : ""; }

int cuInit(unsigned flags) { return strcmp(odd(), "broken") ? 0 : 999; }
int cuDeviceGetCount(int *count) { *count = strcmp(odd(), "none") != 0; return 0; }
int cuDeviceGet(int *device, int index) { *device = index; return 0; }
int cuDeviceGetName(char *name, int size, int device) { strncpy(name, "Orin (nvgpu)", size); return 0; }
int cuDriverGetVersion(int *version) { *version = 13020; return 0; }
int cuDeviceGetAttribute(int *value, int attribute, int device)
{
    *value = attribute == 75 ? 8 : attribute == 76 ? 7 : attribute == 18 ? 1 : -1;
    return 0;
}

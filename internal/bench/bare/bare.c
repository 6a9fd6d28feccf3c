/*
 * The yardstick for an exit: the shortest loop around KVM_RUN that C allows, on a guest that writes a byte to a port and jumps back.
 * The machine is the same as vmm's: in-kernel interrupt controllers, timer, one processor, 2 MiB of RAM.
 *
 * usage: bare WARM-UP EXITS; prints nanoseconds per exit.
 */
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>

enum { ram_size = 2 << 20, entry = 0x1000, port = 0x500 };

static void check(long r, const char *what)
{
	if (r < 0) {
		perror(what);
		exit(1);
	}
}

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e9 + t.tv_nsec;
}

int main(int argc, char **argv)
{
	static const unsigned char code[] = { 0xba, port & 0xff, port >> 8, 0xee, 0xeb, 0xfd }; /* mov dx, port; out dx, al; jmp -3 */
	long warm = argc > 1 ? atol(argv[1]) : 0, exits = argc > 2 ? atol(argv[2]) : 0;
	struct kvm_pit_config pit = { 0 };
	struct kvm_userspace_memory_region region = { .memory_size = ram_size };
	struct kvm_sregs sregs;
	struct kvm_regs regs = { .rip = entry, .rflags = 2, .rsp = 0x8000 };
	struct kvm_run *run;
	volatile unsigned char sink;
	unsigned char *ram;
	double start = 0;
	int kvm, vm, cpu;

	if (exits <= 0)
		return 2;
	check(kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC), "/dev/kvm");
	check(vm = ioctl(kvm, KVM_CREATE_VM, 0), "KVM_CREATE_VM");
	check(ioctl(vm, KVM_SET_TSS_ADDR, 0xfeffd000), "KVM_SET_TSS_ADDR");
	check(ioctl(vm, KVM_CREATE_IRQCHIP, 0), "KVM_CREATE_IRQCHIP");
	check(ioctl(vm, KVM_CREATE_PIT2, &pit), "KVM_CREATE_PIT2");
	ram = mmap(NULL, ram_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	check(ram == MAP_FAILED ? -1 : 0, "mmap");
	memcpy(ram + entry, code, sizeof code);
	region.userspace_addr = (unsigned long)ram;
	check(ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region), "KVM_SET_USER_MEMORY_REGION");
	check(cpu = ioctl(vm, KVM_CREATE_VCPU, 0), "KVM_CREATE_VCPU");
	run = mmap(NULL, ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0), PROT_READ | PROT_WRITE, MAP_SHARED, cpu, 0);
	check(run == MAP_FAILED ? -1 : 0, "mmap vcpu");
	check(ioctl(cpu, KVM_GET_SREGS, &sregs), "KVM_GET_SREGS");
	sregs.cs.base = sregs.cs.selector = 0;
	check(ioctl(cpu, KVM_SET_SREGS, &sregs), "KVM_SET_SREGS");
	check(ioctl(cpu, KVM_SET_REGS, &regs), "KVM_SET_REGS");

	for (long n = 0; n < warm + exits; n++) {
		if (n == warm)
			start = now();
		check(ioctl(cpu, KVM_RUN, 0), "KVM_RUN");
		if (run->exit_reason != KVM_EXIT_IO || run->io.port != port) {
			fprintf(stderr, "exit %u\n", run->exit_reason);
			return 1;
		}
		sink = ((unsigned char *)run)[run->io.data_offset];
	}
	(void)sink;
	printf("%.1f\n", (now() - start) / exits);
	return 0;
}

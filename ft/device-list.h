/*
 * The devices that can be protected.
 *
 * A row stands here when tests/functional/test_devices.py shows its devices
 * exact: a pair works them under load, both sides' digests are equal, and
 * the guest goes on after the primary was killed.  That test reads this
 * file, and fails when a row has no test; "-ft help" prints it; what is on
 * no row is refused by name.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef FT_DEVICE_LIST_H
#define FT_DEVICE_LIST_H

typedef struct FtDeviceRow {
    const char *name;           /* as a user says it */
    const char *what;
    const char *types[12];      /* names of types, or patterns of them */
} FtDeviceRow;

static const FtDeviceRow ft_device_list[] = {
    { "pc", "the board, with its timers and power management",
      { "*-x86_64-cpu", "apic", "ioapic", "i440FX-pcihost", "i440FX", "PIIX3",
        "PIIX4_PM", "i8257", "isa-pit", "isa-i8259", "fw_cfg_io",
        "smbus-eeprom" } },
    { "rtc", "CMOS clock",
      { "mc146818rtc" } },
    { "ps2", "keyboard and mouse",
      { "i8042", "port92", "ps2-kbd", "ps2-mouse", "vmport", "vmmouse" } },
    { "pcspk", "speaker",
      { "isa-pcspk" } },
    { "serial", "serial ports",
      { "isa-serial", "serial", "isa-debugcon" } },
    { "parallel", "parallel ports",
      { "isa-parallel" } },
    { "floppy", "floppy drives without a medium",
      { "isa-fdc", "floppy" } },
    { "vga", "-vga std",
      { "VGA" } },
    { "ide-hd", "IDE disks (-hda, -drive if=ide)",
      { "piix3-ide", "ide-hd" } },
    { "ide-cd", "IDE CD drives, empty or with an image (-cdrom)",
      { "piix3-ide", "ide-cd" } },
    { "virtio-blk", "disks (-drive if=virtio), the fastest",
      { "virtio-blk-pci*", "virtio-blk-device" } },
    { "virtio-scsi", "SCSI disks and CD drives (scsi-hd, scsi-cd)",
      { "virtio-scsi-pci*", "virtio-scsi-device", "scsi-hd", "scsi-cd" } },
    { "virtio-rng", "random numbers (of rng-builtin, its default)",
      { "virtio-rng-pci*", "virtio-rng-device" } },
    { "virtio-serial", "ports between guest and host (virtserialport, "
      "virtconsole)",
      { "virtio-serial-pci*", "virtio-serial-device", "virtserialport",
        "virtconsole" } },
    { "virtio-net", "network cards, the fastest",
      { "virtio-net-pci*", "virtio-net-device" } },
    { "e1000", "network cards with drivers in every guest system",
      { "e1000" } },
};

#endif

/* The virtio devices of the RISC-V board: the card first, then the random source. */
#ifndef VIRTIO_H
#define VIRTIO_H

/* Says that what a device interrupted for is seen to. */
void virtio_acknowledge(unsigned device);
/* Lets a device end the processor's sleep. */
void virtio_enable_interrupt(unsigned device);

#endif

#!/usr/bin/perl
# A short message centre on Net::SMPP. What it sees goes to standard output as lines of JSON; lines of JSON on standard
# input tell it what to do: answer submits with a status, report on a message, fall silent, unbind.
use strict;
use warnings;
use IO::Handle;
use IO::Select;
use JSON::PP;
use Net::SMPP;

my ($port, $password) = @ARGV;
my $json = JSON::PP->new->canonical;
STDOUT->autoflush(1);
$SIG{PIPE} = 'IGNORE';
$SIG{__WARN__} = sub { };    # Net::SMPP speaks of every connection that ends

my $listener = Net::SMPP->new_listen('127.0.0.1', port => $port, async => 1) or die "cannot listen: $!";
my $select = IO::Select->new($listener, \*STDIN);
my @statuses;                # of the next submits
my ($mute, $count) = (0, 0);
my $id_format = 'smsc-%d';
my $input = '';               # orders that are not whole yet
my $last;                    # the client that was bound last

sub note {
    print $json->encode({@_}), "\n";
}

sub forget {
    my $client = shift;
    $select->remove($client);
    close $client;
    note(event => 'closed');
}

sub bind_request {
    my ($client, $pdu, $kind) = @_;
    my $status = $pdu->{password} eq $password ? 0 : 0x0E;
    note(event => 'bind', kind => $kind, system_id => $pdu->{system_id}, status => $status);
    my $answer = "bind_${kind}_resp";
    $client->$answer(seq => $pdu->{seq}, system_id => 'perl', status => $status);
    $last = $client if !$status;
}

sub submit {
    my ($client, $pdu) = @_;
    my $status = @statuses ? shift @statuses : 0;
    my $id = sprintf $id_format, ++$count;
    my %seen = map { $_ => $pdu->{$_} } qw(source_addr_ton source_addr_npi source_addr dest_addr_ton dest_addr_npi
        destination_addr esm_class validity_period registered_delivery data_coding);
    for my $name (qw(short_message message_payload sar_msg_ref_num sar_total_segments sar_segment_seqnum)) {
        $seen{$name} = unpack 'H*', $pdu->{$name} if defined $pdu->{$name};
    }
    note(event => 'submit', status => $status, id => $id, %seen);
    $client->submit_sm_resp(seq => $pdu->{seq}, status => $status, message_id => $status ? '' : $id);
}

sub from_client {
    my $client = shift;
    my $pdu = $client->read_pdu or return forget($client);
    return if $mute;
    my $cmd = $pdu->{cmd};
    if    ($cmd == 0x01) { bind_request($client, $pdu, 'receiver') }
    elsif ($cmd == 0x02) { bind_request($client, $pdu, 'transmitter') }
    elsif ($cmd == 0x09) { bind_request($client, $pdu, 'transceiver') }
    elsif ($cmd == 0x04) { submit($client, $pdu) }
    elsif ($cmd == 0x15) { note(event => 'ping'); $client->enquire_link_resp(seq => $pdu->{seq}) }
    elsif ($cmd == 0x06) { note(event => 'unbind'); $client->unbind_resp(seq => $pdu->{seq}) }
    elsif ($cmd == 0x80000005) { note(event => 'acknowledged', status => $pdu->{status}) }
    elsif ($cmd == 0x80000000) { note(event => 'nack', status => $pdu->{status}) }
    else { note(event => 'other', command => $cmd) }
}

sub from_test {
    sysread(STDIN, $input, 65536, length $input) or exit 0;
    while ($input =~ s/^(.*)\n//) {
        obey($json->decode($1));
        note(event => 'done');
    }
}

sub obey {
    my $order = shift;
    if    ($order->{do} eq 'answer') { push @statuses, @{ $order->{statuses} } }
    elsif ($order->{do} eq 'ids')    { $id_format = $order->{format}; $count = $order->{start} }
    elsif ($order->{do} eq 'mute')   { $mute = 1 }
    elsif ($order->{do} eq 'unbind') { $last->unbind }
    elsif ($order->{do} eq 'drop')   { forget($_) for grep { $_ != $listener && $_ != \*STDIN } $select->handles }
    elsif ($order->{do} eq 'raw')    { $last->syswrite(pack 'H*', $order->{octets}) }
    elsif ($order->{do} eq 'report') {
        my @options;
        push @options, receipted_message_id => "$order->{id}\0" if defined $order->{id};
        push @options, message_state => pack 'C', $order->{state} if defined $order->{state};
        $last->deliver_sm(
            source_addr_ton => 1, source_addr_npi => 1, source_addr => '4915187654321', destination_addr => '12345',
            esm_class => $order->{esm_class} // 0x04, short_message => $order->{text} // '', @options);
    }
}

note(event => 'ready');
while (1) {
    for my $handle ($select->can_read) {
        if ($handle == $listener) {
            my $client = $listener->accept or next;
            $select->add($client);
        }
        elsif ($handle == \*STDIN) { from_test() }
        else { from_client($handle) if $select->exists($handle) }
    }
}

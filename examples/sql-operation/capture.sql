-- A delivery that is booked while the stock could not be: both are committed, or neither is.
begin;
insert into shop.delivery (number, sku, count) values (1, 'a-1', 5);
select retryd.capture_failure('stock.sync.failed', '{"sku": "a-1", "count": 5}', event_id => 'delivery-1',
    error_type => 'LockNotAvailable', error_message => 'the stock is being counted');
commit;

-- What is in stock, and the operation that a handler runs again.
create schema shop;
create table shop.stock (sku text primary key, count int not null);
create table shop.delivery (number int primary key, sku text not null, count int not null);

create function shop.restock(sku text, count int) returns void
language sql
begin atomic
    insert into shop.stock as s (sku, count) values (restock.sku, restock.count)
    on conflict (sku) do update set count = s.count + excluded.count;
end;

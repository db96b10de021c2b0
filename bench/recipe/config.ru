# What the recipe does, written afresh: a pool of five connections, five seconds to wait for one, the replica port
# outside the primary region, one more try on a new pool when a connection is bad.
require "connection_pool"
require "json"
require "pg"
require "sinatra/base"
require "uri"

class Recipe < Sinatra::Base
  def self.database_url
    url = URI.parse(ENV.fetch("DATABASE_URL"))
    url.port = Integer(ENV.fetch("REPLICA_PORT", "5433")) if ENV["FLY_REGION"] != ENV["PRIMARY_REGION"]
    url.to_s
  end

  def self.new_pool
    ConnectionPool.new(size: 5, timeout: 5) { PG.connect(database_url) }
  end

  set :environment, :production
  set :logging, false
  set :pool, new_pool

  def query(statement)
    settings.pool.with { |connection| connection.exec(statement) }
  rescue PG::ConnectionBad
    settings.pool = settings.new_pool
    settings.pool.with { |connection| connection.exec(statement) }
  end

  get "/" do
    query("SELECT 1")
    content_type :json
    JSON.generate(status: "ok")
  end
end

run Recipe

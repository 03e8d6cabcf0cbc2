#!/usr/bin/env bash
# Provision PostgreSQL with pgvector on Azure (Database for PostgreSQL, Flexible Server), without public access.
# The script creates only the parts that are missing: you can run it again, also after a failure.
#
# Needs the Azure CLI 2.86 or newer, signed in (`az login`), and the administrator's password in the environment:
#
#   RECOLLECT_ADMIN_PASSWORD     required: 8 to 128 characters of three kinds (upper, lower, digit, other)
#
# You can also set:
#
#   RECOLLECT_AZURE_GROUP        resource group (recollect)
#   RECOLLECT_AZURE_REGION       region (westeurope)
#   RECOLLECT_AZURE_SERVER       server, a name that is unique in Azure (recollect- and 8 digits of the subscription)
#   RECOLLECT_AZURE_DATABASE     database (recollect)
#   RECOLLECT_AZURE_ADMIN        administrator's role (recollectadmin)
#   RECOLLECT_AZURE_VERSION      PostgreSQL: 16, 17 or 18 (17)
#   RECOLLECT_AZURE_TIER         Burstable, GeneralPurpose or MemoryOptimized (GeneralPurpose)
#   RECOLLECT_AZURE_SIZE         compute size (Standard_D2ds_v5)
#   RECOLLECT_AZURE_STORAGE      storage in GiB (128)
#   RECOLLECT_AZURE_NODES        2 to 20: an elastic cluster of as many nodes, which is Citus, instead of a server (1)
#   RECOLLECT_AZURE_SUBNET       resource id of a subnet delegated to flexible servers: the server gets its address there.
#   RECOLLECT_AZURE_DNS_ZONE     resource id of that network's private DNS zone, with RECOLLECT_AZURE_SUBNET
#                                Without the two, public access is disabled and a private endpoint has to be added.
set -euo pipefail

step="reading the settings"
trap 'echo "azure.sh: failed while $step; remove the cause and run it again" >&2' ERR

refuse() {
  echo "azure.sh: $1" >&2
  exit 2
}

say() {
  step=$1
  echo "$1"
}

azure() {
  az "$@" --only-show-errors
}

[[ -n ${RECOLLECT_ADMIN_PASSWORD:-} ]] || refuse "set RECOLLECT_ADMIN_PASSWORD to the administrator's password"
password=$RECOLLECT_ADMIN_PASSWORD
unset RECOLLECT_ADMIN_PASSWORD # child processes do not need it

group=${RECOLLECT_AZURE_GROUP:-recollect}
region=${RECOLLECT_AZURE_REGION:-westeurope}
database=${RECOLLECT_AZURE_DATABASE:-recollect}
admin=${RECOLLECT_AZURE_ADMIN:-recollectadmin}
version=${RECOLLECT_AZURE_VERSION:-17}
tier=${RECOLLECT_AZURE_TIER:-GeneralPurpose}
size=${RECOLLECT_AZURE_SIZE:-Standard_D2ds_v5}
storage=${RECOLLECT_AZURE_STORAGE:-128}
nodes=${RECOLLECT_AZURE_NODES:-1}
subnet=${RECOLLECT_AZURE_SUBNET:-}
dns_zone=${RECOLLECT_AZURE_DNS_ZONE:-}

[[ -n $subnet && -n $dns_zone || -z $subnet$dns_zone ]] ||
  refuse "RECOLLECT_AZURE_SUBNET and RECOLLECT_AZURE_DNS_ZONE require each other: set both or neither"
[[ $nodes =~ ^([1-9]|1[0-9]|20)$ ]] || refuse "RECOLLECT_AZURE_NODES must be a number from 1 to 20"
# Azure does not put elastic clusters into a delegated subnet (virtual network injection).
[[ $nodes == 1 || -z $subnet ]] ||
  refuse "an elastic cluster has no delegated subnet: unset RECOLLECT_AZURE_SUBNET, and add a private endpoint"
command -v az >/dev/null || refuse "the Azure CLI is not installed: 'az' is not on the PATH"

step="asking for the subscription (is the Azure CLI signed in?)"
subscription=$(azure account show --query id --output tsv)
server=${RECOLLECT_AZURE_SERVER:-recollect-${subscription:0:8}}
in_server=(--resource-group "$group" --server-name "$server")

# Each query is a separate statement: inside a condition, `set -e` would treat a failed query as "missing".

step="asking for resource group $group"
answer=$(azure group exists --name "$group" --output json)
if [[ $answer == false ]]; then
  say "creating resource group $group in $region"
  azure group create --name "$group" --location "$region" --output none
fi

step="asking for server $server"
answer=$(azure postgres flexible-server list --resource-group "$group" --query "[?name=='$server'].name" --output tsv)
if [[ -z $answer ]]; then
  network=(--public-access Disabled)
  [[ -z $subnet ]] || network=(--subnet "$subnet" --private-dns-zone "$dns_zone")
  cluster=()
  # The database of an elastic cluster can only be created with it.
  [[ $nodes == 1 ]] || cluster=(--cluster-option ElasticCluster --node-count "$nodes" --database-name "$database")
  say "creating server $server (PostgreSQL $version, $size, $storage GiB, nodes: $nodes); this takes some minutes"
  # "@-" is the standard input: an argument would show the password in the process list. The response contains it: no output.
  printf '%s' "$password" | azure postgres flexible-server create --resource-group "$group" --name "$server" \
    --location "$region" --version "$version" --tier "$tier" --sku-name "$size" --storage-size "$storage" \
    --admin-user "$admin" --admin-password=@- "${network[@]}" "${cluster[@]}" --yes --output none
fi

step="asking for the access to server $server"
public=$(azure postgres flexible-server show --resource-group "$group" --name "$server" \
  --query network.publicNetworkAccess --output tsv)
[[ $public == Disabled ]] ||
  refuse "server $server has public access: disable it (az postgres flexible-server update --public-access Disabled)"

step="asking for the extensions allowed on server $server"
allowed=$(azure postgres flexible-server parameter show "${in_server[@]}" --name azure.extensions \
  --query "value || ''" --output tsv | tr -d ' ' | tr '[:lower:]' '[:upper:]')
if [[ ,$allowed, != *,VECTOR,* ]]; then
  say "allowing the extension vector"
  azure postgres flexible-server parameter set "${in_server[@]}" --name azure.extensions \
    --value "${allowed:+$allowed,}VECTOR" --output none
fi

step="asking for database $database"
answer=created
[[ $nodes != 1 ]] ||
  answer=$(azure postgres flexible-server db list "${in_server[@]}" --query "[?name=='$database'].name" --output tsv)
if [[ -z $answer ]]; then
  say "creating database $database"
  azure postgres flexible-server db create "${in_server[@]}" --name "$database" --output none
fi

step="asking for the address of server $server"
host=$(azure postgres flexible-server show --resource-group "$group" --name "$server" \
  --query fullyQualifiedDomainName --output tsv)

migrate="recollect db migrate"
[[ $nodes == 1 ]] || migrate+=" && recollect db distribute"
cat <<END
ready: $host
Replace <password> with the percent-encoded password:
  export DATABASE_URL='postgresql://$admin:<password>@$host:5432/$database?sslmode=verify-full'
  $migrate
Create a separate role for the application (recollect db roles); the administrator is for migrations.
END
[[ -n $subnet ]] || echo "The server has no address in a network yet: add a private endpoint for it (az network private-endpoint create)."
